"""The audit before a run starts: a real service, the trainer's check, a storage folder."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.reward_server import RewardServer, StartRewards, wait_until, worker_pids
from support.training_job import start_training
from ttsrl.config.guards import GuardsConfig
from ttsrl.config.schema import RunConfig
from ttsrl.data.audit_clips import SHIPPED
from ttsrl.errors import BadInput
from ttsrl.reward.audited import WAYS
from ttsrl.storage.run_store import RunStore
from ttsrl.training.reward_audit import check_reward_audit
from ttsrl.wire import ServiceSpec

RATE_ONLY = ['reward.components=[{"type": "rate"}]', "reward.whisper=null", "reward.batch_size=4"]
"""A reward that pays any sound of the right length, and that measures it in no time."""


@pytest.fixture(scope="module")
def server(start_reward_service: StartRewards) -> RewardServer:
    server = start_reward_service(RATE_ONLY)
    server.wait_ready()
    return server


def with_guards(server: RewardServer, folder: Path, **guards: Any) -> RunConfig:
    asked = server.run.guards.model_dump() | {"audit_allows": []} | guards
    return server.run.model_copy(
        update={"guards": GuardsConfig.model_validate(asked), "storage": str(folder)}
    )


def check(run: RunConfig) -> None:
    spec = ServiceSpec.model_validate(httpx.get(f"{run.reward.url}/v1/spec").json())
    check_reward_audit(run, spec, RunStore(run.storage, run.name))


def test_a_run_whose_reward_pays_spoiled_speech_does_not_start(
    server: RewardServer, tmp_path: Path
) -> None:
    run = with_guards(server, tmp_path / "storage")
    job = start_training(run, tmp_path / "run", audited=True)
    output, _ = job.communicate(timeout=300)
    assert job.returncode == 2, output
    *_, refusal = output.strip().splitlines()
    for way in ("clicks (1.00 of 1.00)", "another_text", "flat_pitch", "reversed_speech"):
        assert way in refusal
    assert "truncated" not in refusal and "another_voice" not in refusal
    assert "(docs/rewards.md)" in refusal and 'guards.audit = "warn"' in refusal
    assert "Traceback" not in output


def test_what_an_audit_found_is_kept_for_every_run_of_this_specification(
    server: RewardServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = with_guards(server, tmp_path, audit="warn")
    check(run)
    first = capsys.readouterr().out
    assert "auditing the reward" in first and "warning: this reward pays as much" in first
    other = run.model_copy(update={"name": "other", "guards": with_guards(server, tmp_path).guards})
    with pytest.raises(BadInput, match="pays as much for spoiled speech"):
        check(other)
    assert "auditing the reward" not in capsys.readouterr().out
    allowing = with_guards(server, tmp_path, audit_allows=[*WAYS])
    check(allowing)
    assert capsys.readouterr().out == ""
    [kept] = (tmp_path / "audits").rglob("*.json")
    kept.write_text("{}")
    check(allowing)
    assert "auditing the reward" in capsys.readouterr().out
    check(with_guards(server, tmp_path / "off", audit="off"))
    assert not (tmp_path / "off").exists()


def test_clips_that_the_reward_cannot_measure_are_named(
    server: RewardServer, tmp_path: Path
) -> None:
    broken = tmp_path / "clips.jsonl"
    rows = [{"text": text, "wav": str(SHIPPED.parent / "austen-0880.flac")} for text in ("a", "b")]
    broken.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = with_guards(server, tmp_path, audit_clips=str(broken))
    with pytest.raises(BadInput, match=r"recording 1 \('a'\) .*\(guards.audit_clips\)"):
        check(run)
    check(run.model_copy(update={"guards": run.guards.model_copy(update={"audit": "warn"})}))
    broken.write_text("no JSON")
    with pytest.raises(BadInput, match=r"clips\.jsonl"):
        check(run)


def test_an_audit_outlasts_a_worker_that_dies(server: RewardServer, tmp_path: Path) -> None:
    run = with_guards(server, tmp_path, audit="warn")
    clips = tmp_path / "other.tsv"
    folder = Path(str(server.run.guards.audit_clips)).parent
    lines = [f"{f}\t{f.stem.replace('-', ' ')}" for f in sorted(folder.glob("*.flac"))]
    clips.write_text("wav\ttext\n" + "\n".join(lines) + "\n")
    run = with_guards(server, tmp_path, audit="warn", audit_clips=str(clips))
    errors: list[BaseException] = []

    def audited() -> None:
        try:
            check(run)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=audited)
    thread.start()
    [victim] = worker_pids(server)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: victim not in worker_pids(server))
    thread.join(300)
    assert not thread.is_alive() and not errors
    assert len([*(tmp_path / "audits").rglob("*.json")]) == 1


def test_an_audit_outlasts_a_service_that_is_killed_and_started_again(
    start_reward_service: StartRewards, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = start_reward_service(RATE_ONLY)
    first.wait_ready()
    run = with_guards(first, tmp_path, audit="warn")
    spec = ServiceSpec.model_validate(httpx.get(f"{first.url}/v1/spec").json())
    first.signal(signal.SIGSTOP)  # so that it has not answered when it is killed
    errors: list[BaseException] = []

    def audited() -> None:
        try:
            check_reward_audit(run, spec, RunStore(run.storage, run.name))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=audited)
    thread.start()
    said: list[str] = []
    wait_until(lambda: said.append(capsys.readouterr().out) or "auditing" in "".join(said))
    first.stop(signal.SIGKILL)
    start_reward_service(RATE_ONLY, url=first.url).wait_ready()
    thread.join(300)
    assert not thread.is_alive() and not errors
    assert len([*(tmp_path / "audits").rglob("*.json")]) == 1
