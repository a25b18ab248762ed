"""The real trainer: verl on Ray, the reward service over HTTP, checkpoints into storage."""

from __future__ import annotations

import json
import shutil
import signal
from itertools import cycle
from pathlib import Path

import httpx
import psutil
import pytest
from pyarrow import parquet

from examples.tiny.domain import read_texts
from examples.tiny.word_tokens import say
from support.reward_server import RewardServer, StartRewards
from support.training_job import (
    kill_family,
    lines_of,
    start_following,
    start_training,
    wait_until,
)
from ttsrl.client.reward_client import score_blocking
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.reward.specification import hash_of
from ttsrl.storage.run_store import RunStore
from ttsrl.wire import Ok, ServiceSpec, SpokenAfter, Utterance

SMALL = (
    "train.steps=4",
    "train.save_every=2",
    "train.prompts_per_step=4",
    "rollout.group_size=4",
)
EVALUATED = ("eval.during_training.texts=4", "eval.greedy=false", "eval.bootstrap_samples=100")


def run_on(server: RewardServer, tmp_path: Path, *overrides: str) -> RunConfig:
    config = Path(server.config)
    storage = f"storage={tmp_path / 'object storage'}"
    return load_run(config, [*SMALL, storage, f"reward.url={server.url}", *overrides])


def with_prefixes(run: RunConfig, folder: Path) -> RunConfig:
    """The run, its training prompts beginning with one to four tokens of their recordings."""
    recordings = folder / "recordings.jsonl"
    rows = [{"text": t, "speech_tokens": say(t.split())} for t in read_texts()]
    recordings.write_text("".join(json.dumps(row) + "\n" for row in rows))
    changed = run.model_dump()
    changed["data"] |= {
        "texts": str(recordings),
        "prefix": {"min_s": 0.08, "max_s": 0.4, "tokens_per_s": 12.5},
    }
    return RunConfig.model_validate(changed)


def with_references(run: RunConfig, folder: Path) -> RunConfig:
    """The run, each of its texts after two words of a recording, which the policy is told."""
    texts = [text for text in read_texts() if len(text.split()) == 3]
    rows = [  # without the pause that ends what the tiny policy learnt from: nothing follows it
        {"text": text, "prompt_text": said, "prompt_tokens": say(said.split())[:-1]}
        for text, said in zip(texts, cycle(["four dogs", "black tigers"]), strict=False)
    ]
    spoken_after = folder / "spoken_after.jsonl"
    spoken_after.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run.model_copy(update={"data": run.data.model_copy(update={"texts": str(spoken_after)})})


def test_nothing_is_lost_when_service_evaluation_and_trainer_are_killed(
    start_reward_service: StartRewards, tmp_path: Path
) -> None:
    server = start_reward_service()
    run = run_on(server, tmp_path, "train.kl_coefficient=0.04", *EVALUATED)
    run = with_prefixes(run, tmp_path)
    work_dir = tmp_path / "a path with a space"
    steps = work_dir / "train" / "steps.jsonl"
    store = RunStore(run.storage, run.name)
    server.wait_ready()

    # the reward service dies and comes back while step 2 is under way
    job = start_training(run, work_dir)
    evaluation = start_following(run, tmp_path / "evaluation")
    wait_until(lambda: len(lines_of(steps)) >= 1, job)
    server.stop(signal.SIGKILL)
    server = start_reward_service(url=server.url)
    wait_until(lambda: store.newest_checkpoint() == 2, job)

    # then the trainer's machine dies, with all that is on its disk, and the evaluation's
    kill_family(job)
    kill_family(evaluation)
    before = lines_of(steps)[:2]
    shutil.rmtree(work_dir)

    # other machines go on from storage
    evaluation = start_following(run, tmp_path / "another machine")
    job = start_training(run, work_dir)
    output, _ = job.communicate(timeout=900)
    assert job.returncode == 0, output
    assert "going on from step 2" in output
    said = (work_dir / "logs" / "verl.log").read_text()
    assert "each process imports its own modules" not in said, "verl's processes were not forked"
    after = lines_of(steps)
    assert [line["step"] for line in after] == [1, 2, 3, 4]
    assert after[:2] == before
    assert all(line["failed_share"] == 0 for line in after)
    assert len({line["prompts_sha256"] for line in after}) == 4, "a step saw another step's data"
    assert store.list_checkpoints() == [2, 4]

    # every checkpoint is evaluated once, merged from verl's shards; the last one's models differ
    log = tmp_path / "another machine" / "log"
    assert evaluation.wait(900) == 0, log.read_text()
    assert store.list_evaluated("held_out.during") == [0, 2, 4]
    best = (store.storage.read_json(store.best) or {})["step"]
    assert best in (2, 4) and best in store.list_models()  # published during training
    change = store.storage.read_json(f"{store.eval('held_out.during', 4)}/change.json") or {}
    assert change["metrics"]["cer/judge"]["sampled"]["texts"] == 4
    identities = [
        (store.storage.read_json(f"{store.eval('held_out.during', step)}/report.json") or {})[
            "identity"
        ]
        for step in (0, 2, 4)
    ]
    assert len({one["model"] for one in identities}) == 3
    assert len({one["protocol"] for one in identities}) == 1

    # the KL is that to the policy which all began with, not to the one that another machine goes on
    # from; of two warm-up steps the first one's rate is 0
    assert [line["kl"] for line in after[:2]] == pytest.approx([0, 0], abs=1e-6)
    assert all(1e-5 < line["kl"] < 1 for line in after[2:])

    # the run and each checkpoint say what was measured
    spec = ServiceSpec.model_validate(httpx.get(f"{server.url}/v1/spec").json())
    assert store.storage.read_json(store.reward_json) == spec.model_dump()
    for step in (2, 4):
        assert store.storage.read_json(f"{store.checkpoint(step)}/reward.json") == spec.model_dump()

    # and every reward is what an undisturbed service gives for the same tokens
    rollouts = [r for r in lines_of(steps.with_name("rollouts.jsonl")) if r["kind"] != "gated"]
    assert {r["step"] for r in rollouts} == {1, 2, 3, 4}
    utterances = [Utterance(text=r["text"], speech_tokens=r["speech_tokens"]) for r in rollouts]
    for rollout, outcome in zip(rollouts, score_blocking(run.reward, utterances), strict=True):
        assert isinstance(outcome, Ok)
        assert outcome.reward == pytest.approx(rollout["reward"], abs=1e-5)
        assert outcome.transcript == rollout["transcript"]

    # which are those of the prompt's real speech and of what the policy said after it
    infos = parquet.read_table(work_dir / "data" / "train.parquet")["extra_info"].to_pylist()
    prefixes = {info["text"]: info["speech_prefix"] for info in infos}
    assert set(map(len, prefixes.values())) == {1, 2, 3, 4}
    for rollout in rollouts:
        prefix = prefixes[rollout["text"]]
        assert rollout["speech_tokens"][: len(prefix)] == prefix
        assert len(rollout["speech_tokens"]) > len(prefix)


def test_ctrl_c_stops_within_ten_seconds_and_leaves_nothing(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    job = start_training(run_on(reward_service, tmp_path), tmp_path / "run")
    log = tmp_path / "run" / "logs" / "verl.log"
    wait_until(lambda: log.exists() and "worker group" in log.read_text(errors="replace"), job)
    family = psutil.Process(job.pid).children(recursive=True)
    assert any("raylet" in process.name() for process in family)

    job.send_signal(signal.SIGINT)
    job.communicate(timeout=120)

    assert job.returncode == 130
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_sigterm_saves_the_step_that_is_under_way_and_leaves(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    """A checkpoint is due only at the end of 40 steps, too late for any test to wait for.

    What was trained on is speech that continues a reference.
    """
    run = run_on(
        reward_service,
        tmp_path,
        *("train.steps=40", "train.save_every=40", "train.termination_grace_s=600"),
        "rollout.max_prompt_tokens=48",
    )
    run = with_references(run, tmp_path)
    store = RunStore(run.storage, run.name)
    work_dir = tmp_path / "run"
    job = start_training(run, work_dir)
    wait_until(lambda: bool(lines_of(work_dir / "train" / "steps.jsonl")), job)
    assert store.newest_checkpoint() is None
    family = psutil.Process(job.pid).children(recursive=True)

    job.send_signal(signal.SIGTERM)
    output, _ = job.communicate(timeout=900)

    assert job.returncode == 143, output
    saved = store.newest_checkpoint()
    assert saved == lines_of(work_dir / "train" / "steps.jsonl")[-1]["step"] < 40
    assert "train.termination_grace_s" in output and "saved and published" in output
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert_rewarded_for_what_follows_the_reference(run, work_dir)


def assert_rewarded_for_what_follows_the_reference(run: RunConfig, work_dir: Path) -> None:
    infos = parquet.read_table(work_dir / "data" / "train.parquet")["extra_info"].to_pylist()
    voices = {info["text"]: info["reference"] for info in infos}
    rollouts = lines_of(work_dir / "train" / "rollouts.jsonl")
    measured = [rollout for rollout in rollouts if rollout["reason"] is None]
    assert measured
    utterances = [
        Utterance(
            text=rollout["text"],
            speech_tokens=rollout["speech_tokens"],
            reference=SpokenAfter(speech_tokens=voices[rollout["text"]]["tokens"]),
        )
        for rollout in measured
    ]
    for rollout, outcome in zip(measured, score_blocking(run.reward, utterances), strict=True):
        assert isinstance(outcome, Ok)
        assert outcome.reward == pytest.approx(rollout["reward"], abs=1e-5)
        said = voices[rollout["text"]]["text"].split()
        assert outcome.transcript == rollout["transcript"]
        assert outcome.transcript is not None and outcome.transcript.split()[:2] != said


def test_a_resumed_run_refuses_a_service_that_measures_something_else(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    run = run_on(reward_service, tmp_path)
    spec = ServiceSpec.model_validate(httpx.get(f"{reward_service.url}/v1/spec").json())
    store = RunStore(run.storage, run.name)
    theirs = spec.specification | {"whisper": "of another release"}
    began_with = spec.model_copy(update={"specification": theirs, "spec_hash": hash_of(theirs)})
    store.storage.write_json(store.reward_json, began_with.model_dump())
    job = start_training(run, tmp_path / "run")
    output, _ = job.communicate(timeout=900)
    assert job.returncode == 2
    assert 'whisper is "of another release" there' in output
    assert "Traceback" not in output
    assert not (tmp_path / "run" / "train").exists()

    heavier = load_run(reward_service.config, ["reward.gates.slack_s=2", f"storage={run.storage}"])
    job = start_training(heavier, tmp_path / "other")
    output, _ = job.communicate(timeout=900)
    assert job.returncode == 2
    assert "gates.slack_s is 1.0 there, 2.0 here" in output


def test_a_missing_model_is_refused_before_anything_starts(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    run = load_run(reward_service.config, [f"storage={tmp_path / 's'}", "model=/nowhere/policy"])
    job = start_training(run, tmp_path / "run")
    output, _ = job.communicate(timeout=300)
    assert job.returncode == 2
    assert "/nowhere/policy" in output
    assert "Traceback" not in output
    assert not (tmp_path / "run" / "train").exists()
    # The start is counted, and nothing of the run is recorded.
    published = [path.name for path in (tmp_path / "s").rglob("*") if path.is_file()]
    assert published == ["pod_starts.json"]
