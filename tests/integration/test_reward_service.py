"""The real reward service in a process of its own, over a socket, with the tiny stack's models."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from support.paths import ROOT
from support.reward_server import (
    SMALL_BATCHES,
    TEXTS,
    TTSRL,
    RewardServer,
    StartRewards,
    assert_same,
    metrics,
    post,
    score,
    utterances,
    wait_until,
    worker_pids,
)
from ttsrl.client.reward_client import score_blocking
from ttsrl.wire import Failed, Gated, Ok, ScoreResponse, Utterance


def test_each_utterance_gets_its_own_outcome_and_a_bad_one_harms_no_other(
    reward_service: RewardServer,
) -> None:
    good = utterances(3)
    mute = Utterance(text=TEXTS[0], speech_tokens=[])
    unknown = Utterance(text=TEXTS[0], speech_tokens=[1, -1, 10**30])
    endless = Utterance(text=TEXTS[0], speech_tokens=[1] * 20, finished=False)
    unspeakable = Utterance(text="!?", speech_tokens=[1] * 20)
    outcomes = score(
        reward_service, [good[0], mute, unknown, good[1], endless, unspeakable, good[2]]
    )
    assert [outcomes[0], outcomes[3], outcomes[6]] == score(reward_service, good)
    gates = [o.reason for o in outcomes if isinstance(o, Gated)]
    assert gates == ["no_tokens", "token_outside_codebook", "no_end_token"]
    assert [o.kind for o in outcomes if isinstance(o, Failed)] == ["rejected"]


def test_a_reward_depends_on_neither_company_nor_order_nor_concurrency(
    reward_service: RewardServer,
) -> None:
    items = utterances(12)
    together = score(reward_service, items)
    assert sum(isinstance(outcome, Ok) for outcome in together) == 12
    backwards = score(reward_service, items[::-1])
    with ThreadPoolExecutor(6) as threads:
        alone = threads.map(lambda item: score(reward_service, [item])[0], items)
    assert_same(together, backwards[::-1])
    assert_same(together, list(alone))


def test_the_seeds_routes_keep_their_bodies(reward_service: RewardServer) -> None:
    health = httpx.get(f"{reward_service.url}/healthz")
    assert (health.status_code, health.content) == (200, b'{"status":"ok"}')

    (item,) = utterances(1)
    (expected,) = score(reward_service, [item])
    assert isinstance(expected, Ok)
    route = f"{reward_service.url}/score"
    answer = httpx.post(route, json={"tokens": item.speech_tokens, "text": item.text}, timeout=300)
    assert answer.status_code == 200
    assert answer.json() == {
        "nll": pytest.approx(expected.raw["nll"], abs=1e-5),
        "transcript": expected.transcript,
    }
    mute = httpx.post(route, json={"tokens": [], "text": item.text})
    assert mute.status_code == 500
    assert mute.json() == {"detail": "gated, no_tokens: the response has no speech token"}


@pytest.mark.parametrize("route", ["/v1/score", "/score"])
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"utterances": [{"text": "", "speech_tokens": [1]}]}', "application/json", 400),
        (b'{"utterances": [{"text": "a", "speech_tokens": [NaN]}]}', "application/json", 400),
        (b'{"text": "", "tokens": [1]}', "application/json", 400),
        (b'{"text": "a", "tokens": ["x"]}', "application/json", 400),
        (b'{"text": "a", "tokens": [1e999]}', "application/json", 400),
        (b"\x80\x05]\x94.", "application/vnd.bentoml+pickle", 415),
        (b"text=a", "application/x-www-form-urlencoded", 415),
        (b" " * (64 * 2**20 + 1), "application/json", 413),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_hostile_body_is_refused_and_harms_nobody(
    reward_service: RewardServer, route: str, body: bytes, content_type: str, status: int
) -> None:
    headers = {"content-type": content_type}
    answer = httpx.post(f"{reward_service.url}{route}", content=body, headers=headers)
    assert answer.status_code == status
    assert "detail" in answer.json()
    assert httpx.get(f"{reward_service.url}/readyz").status_code == 200
    assert "Traceback" not in reward_service.log.read_text()


def test_metrics_count_requests_outcomes_components_and_stages(
    reward_service: RewardServer,
) -> None:
    items = [*utterances(3, seed=1), Utterance(text=TEXTS[0], speech_tokens=[])]
    before = metrics(reward_service)
    outcomes = score(reward_service, items)
    after = metrics(reward_service)
    spoken = [o for o in outcomes if isinstance(o, Ok)]
    growth = {
        'ttsrl_reward_requests_total{"code": "200", "route": "/v1/score"}': 1,
        'ttsrl_reward_outcomes_total{"outcome": "ok", "reason": ""}': 3,
        'ttsrl_reward_outcomes_total{"outcome": "gated", "reason": "no_tokens"}': 1,
        "ttsrl_reward_audio_seconds_total{}": sum(o.duration_s for o in spoken),
        "ttsrl_reward_cer_count{}": 3,
        "ttsrl_reward_cer_sum{}": sum(o.raw["cer"] for o in spoken),
        "ttsrl_reward_nll_sum{}": sum(o.raw["nll"] for o in spoken),
        "ttsrl_reward_reward_sum{}": sum(o.reward for o in spoken),
        "ttsrl_reward_batch_size_sum{}": 4,
        'ttsrl_reward_stage_seconds_count{"stage": "decode"}': 1,
        'ttsrl_reward_stage_seconds_count{"stage": "whisper"}': 1,
        'ttsrl_reward_utility_count{"component": "cer"}': 3,
        'ttsrl_reward_utility_sum{"component": "nll"}': sum(o.utilities["nll"] for o in spoken),
        'ttsrl_reward_request_seconds_count{"route": "/v1/score"}': 1,
        "ttsrl_reward_queue_seconds_count{}": 1,
    }
    for name, expected in growth.items():
        assert after[name] - before.get(name, 0.0) == pytest.approx(expected, abs=1e-6), name
    assert after["ttsrl_reward_queue_depth{}"] == after["ttsrl_reward_in_flight{}"] == 0


def test_metrics_say_what_serves_and_that_it_can(reward_service: RewardServer) -> None:
    spec = httpx.get(f"{reward_service.url}/v1/spec").json()
    now = metrics(reward_service)
    (info,) = (name for name in now if name.startswith("ttsrl_reward_spec_info"))
    (build,) = (name for name in now if name.startswith("ttsrl_reward_build_info"))
    assert spec["spec_hash"] in info and spec["codec"] in info
    assert set(spec["models"]) == {"codec", "reward.whisper.model"}
    assert f'"torch": "{spec["versions"]["torch"]}"' in build
    assert now["ttsrl_reward_ready{}"] == 1
    assert now["ttsrl_reward_load_seconds{}"] > 0
    assert now["ttsrl_reward_batch_capacity{}"] == reward_service.run.reward.batch_size


def test_outcomes_are_there_as_zeros_before_the_first(start_reward_service: StartRewards) -> None:
    server = start_reward_service(SMALL_BATCHES)
    server.wait_ready()
    now = metrics(server)
    assert now['ttsrl_reward_outcomes_total{"outcome": "ok", "reason": ""}'] == 0
    assert now['ttsrl_reward_outcomes_total{"outcome": "gated", "reason": "silence"}'] == 0
    assert now['ttsrl_reward_outcomes_total{"outcome": "error", "reason": "scorer"}'] == 0
    assert server.stop() == 0


def test_work_that_nobody_waits_for_is_dropped(reward_service: RewardServer) -> None:
    def measured() -> float:
        return metrics(reward_service)["ttsrl_reward_batch_size_sum{}"]

    before = measured()
    with pytest.raises(httpx.ReadTimeout):
        post(reward_service, utterances(600, seed=2), timeout_s=0.5)
    score(reward_service, utterances(1))
    after = metrics(reward_service)
    assert after["ttsrl_reward_queue_depth{}"] == after["ttsrl_reward_in_flight{}"] == 0
    assert after['ttsrl_reward_requests_total{"code": "499", "route": "/v1/score"}'] == 1
    assert measured() - before < 600


def test_the_openapi_document_describes_the_scoring_routes(reward_service: RewardServer) -> None:
    document = httpx.get(f"{reward_service.url}/docs.json").json()
    assert {"/v1/score", "/score", "/healthz", "/readyz", "/metrics"} <= document["paths"].keys()
    schemas = document["components"]["schemas"]
    body = document["paths"]["/v1/score"]["post"]["requestBody"]["content"]["application/json"]
    assert "utterances" in body["schema"]["properties"]
    assert {"Utterance", "Ok", "Gated", "Failed"} <= schemas.keys()


def launch(config: Path, port: int) -> subprocess.CompletedProcess[str]:
    command = [*TTSRL, "serve", "--config", str(config), "--port", str(port)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)


def test_a_taken_port_is_named(reward_service: RewardServer) -> None:
    port = int(reward_service.url.rpartition(":")[2])
    ended = launch(reward_service.config, port)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"error: port {port} of 127.0.0.1 is taken; "
        "stop what listens there, or give another --port\n"
    )


def test_ctrl_c_ends_a_service_that_loads_or_serves_without_a_traceback(
    start_reward_service: StartRewards,
) -> None:
    loads, serves = start_reward_service(), start_reward_service(SMALL_BATCHES)
    wait_until(lambda: "loading" in loads.log.read_text())
    assert loads.stop(signal.SIGINT) == 130
    serves.wait_ready()
    assert serves.stop(signal.SIGINT) == 130
    for server in (loads, serves):
        assert "Traceback" not in server.log.read_text()


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    ended = launch(tmp_path / "none.json", 0)
    assert ended.returncode == 2
    assert str(tmp_path / "none.json") in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_service_that_cannot_load_ends_and_says_why(
    start_reward_service: StartRewards, tmp_path: Path
) -> None:
    server = start_reward_service([f"codec={tmp_path}"])
    assert server.process.wait(timeout=300) == 2
    log = server.log.read_text()
    assert f"error: no codec at '{tmp_path}'" in log
    assert "Traceback" not in log


def test_life_of_a_service(
    start_reward_service: StartRewards, reward_service: RewardServer, tmp_path: Path
) -> None:
    """Loads, scores for who has the token, is killed, comes back the same, drains."""
    token_file = tmp_path / "token"
    token_file.write_text("first\n")
    overrides = [f"reward.token_file={token_file}", *SMALL_BATCHES]
    server = start_reward_service(overrides)

    seen = set[int]()
    while 200 not in seen and server.process.poll() is None:
        try:
            # The socket listens before the modules are imported, which may take long.
            seen.add(httpx.get(f"{server.url}/readyz", timeout=300).status_code)
            if 200 not in seen:
                assert post(server, utterances(1), token="first").status_code in (200, 503)
        except httpx.ConnectError:
            continue
    assert seen == {503, 200}

    assert post(server, utterances(1)).status_code == 401
    assert post(server, utterances(1), token="second").status_code == 401
    assert post(server, utterances(1), token="first").status_code == 200
    assert httpx.get(f"{server.url}/healthz").status_code == 200
    assert httpx.get(f"{server.url}/v1/spec").json()["codebook_size"] == 1000
    token_file.write_text("second\n")
    assert post(server, utterances(1), token="first").status_code == 401
    assert post(server, utterances(1), token="second").status_code == 200

    items = utterances(48, seed=3)
    with ThreadPoolExecutor(1) as thread:
        scoring = thread.submit(score_blocking, server.run.reward, items, 240.0)
        wait_until_measuring(server)
        workers = worker_pids(server)
        server.process.kill()  # and nothing else: the kernel ends the workers
        wait_until(lambda: not any(map(psutil.pid_exists, workers)))
        server = start_reward_service(overrides, url=server.url)
        outcomes = scoring.result()
    assert_same(outcomes[:40], score(reward_service, items[:40]))
    assert not any(isinstance(outcome, Failed) for outcome in outcomes)

    with ThreadPoolExecutor(1) as thread:
        request = thread.submit(post, server, items, 240.0, "second")
        wait_until_measuring(server)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        refused = post(server, utterances(1), token="second")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        answer = request.result()
    assert answer.status_code == 200
    assert_same(ScoreResponse.model_validate_json(answer.content).outcomes, outcomes)
    assert server.process.wait(timeout=300) == 0


def wait_until_measuring(server: RewardServer) -> None:
    wait_until(lambda: metrics(server).get("ttsrl_reward_queue_depth{}", 0) > 0)


README = (ROOT / "services/reward/README.md").read_text()


def test_the_readme_s_requests_are_answered(reward_service: RewardServer, tmp_path: Path) -> None:
    """Those of the README, by curl, which fails on a 4xx or 5xx."""
    (tmp_path / "token").write_text("any")
    requests = re.findall(r"^curl .*$", README, re.MULTILINE)
    assert len(requests) == 5
    environment = {**os.environ, "URL": reward_service.url}
    answers = [
        subprocess.check_output(["bash", "-c", line], text=True, cwd=tmp_path, env=environment)
        for line in requests
    ]
    shown = re.search(r"```json\n(.*?)```", README, re.DOTALL)
    assert shown
    for outcome, expected in zip(
        json.loads(answers[2])["outcomes"], json.loads(shown[1])["outcomes"], strict=True
    ):
        assert outcome.keys() == expected.keys()
        for name, value in expected.items():
            same = value if isinstance(value, str) else pytest.approx(value, abs=1e-3)
            assert outcome[name] == same


def test_the_readme_names_every_metric_and_no_other(reward_service: RewardServer) -> None:
    score(reward_service, utterances(1))  # a series is there from its first event on
    text = httpx.get(f"{reward_service.url}/metrics").text
    served = set(re.findall(r"^# TYPE (ttsrl_reward_\w+)", text, re.MULTILINE))
    assert {
        f"ttsrl_reward_{name}" for name in re.findall(r"`ttsrl_reward_(\w+)`", README)
    } == served


def test_bentoml_builds_a_bento_of_the_folder(tmp_path: Path) -> None:
    """A stand-in for what `make bento` puts there: the wheel, and the list that names it."""
    folder = shutil.copytree(
        ROOT / "services/reward", tmp_path / "reward", ignore=shutil.ignore_patterns("wheels")
    )
    (folder / "wheels").mkdir()
    (folder / "wheels/ttsrl-0-py3-none-any.whl").touch()
    (folder / "requirements.txt").write_text("./wheels/ttsrl-0-py3-none-any.whl\n")
    uv = tmp_path / "uv"  # BentoML asks for it, and has nothing to lock here
    uv.touch(mode=0o755)
    command = [Path(sys.executable).with_name("bentoml"), "build", "--output", "tag"]
    environment = {
        **os.environ,
        "BENTOML_HOME": str(tmp_path),
        "BENTOML_DO_NOT_TRACK": "True",
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    built = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment, timeout=900
    )
    assert built.returncode == 0, built.stderr
    name, version = built.stdout.strip().removeprefix("__tag__:").split(":")
    bento = tmp_path / "bentos" / name / version
    assert (bento / "src/wheels/ttsrl-0-py3-none-any.whl").is_file()
    requirements = (bento / "env/python/requirements.txt").read_text()
    assert "./wheels/ttsrl-0-py3-none-any.whl" in requirements
    assert "/v1/score" in (bento / "apis/openapi.yaml").read_text()
    assert "TTSRL_RUN_CONFIG" in (bento / "env/docker/Dockerfile").read_text()


def test_bentoml_serve_serves_it_too(
    start_reward_service: StartRewards, reward_service: RewardServer
) -> None:
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    folder = str(ROOT / "services/reward")
    command = [bentoml, "serve", folder, "--host", "127.0.0.1", "--port", "{port}"]
    server = start_reward_service(SMALL_BATCHES, command=command)
    server.wait_ready()
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
    assert_same(score(server, utterances(4)), score(reward_service, utterances(4)))
    assert metrics(server)["ttsrl_reward_batch_size_sum{}"] == 4
    assert server.stop() == 0
