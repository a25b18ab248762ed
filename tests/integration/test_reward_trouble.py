"""The real reward service when measurements hang, crash, run out of memory or come too many."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from faults.sitecustomize import (
    DIES,
    GIVES_NAN,
    HANGS,
    IS_HELD,
    RAISES,
    RELEASE,
    TOO_LARGE,
)
from support.reward_server import (
    SMALL_BATCHES,
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
from ttsrl.client.reward_client import RewardClient
from ttsrl.wire import Failed, Ok, Outcome, ScoreResponse, Utterance

FAULTS = Path(__file__).parents[1] / "faults"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("held") / "release"


@pytest.fixture(scope="module")
def faulty(start_reward_service: StartRewards, release: Path) -> Iterator[RewardServer]:
    """A service whose codec breaks on marked utterances, with a queue of 8."""
    server = start_reward_service(
        [*SMALL_BATCHES, "reward.worker_deadline_s=6", "reward.queue_size=8"],
        environment={"PYTHONPATH": str(FAULTS), RELEASE: str(release)},
    )
    server.wait_ready()
    yield server
    server.stop(signal.SIGKILL)


def marked(marker: int) -> Utterance:
    (item,) = utterances(1)
    return item.model_copy(update={"speech_tokens": [marker, *item.speech_tokens[1:]]})


def lost(server: RewardServer, reason: str) -> float:
    return metrics(server)[f'ttsrl_reward_workers_lost_total{{"reason": "{reason}"}}']


def test_what_raises_or_gives_nan_fails_alone_and_what_does_not_fit_is_split(
    faulty: RewardServer,
) -> None:
    good = utterances(3)
    outcomes = score(faulty, [good[0], marked(RAISES), good[1], marked(GIVES_NAN), good[2]])
    assert [o.kind for o in outcomes if isinstance(o, Failed)] == ["decode", "nan"]
    assert_same([outcomes[0], outcomes[2], outcomes[4]], score(faulty, good))

    outcomes = score(faulty, [*good, marked(TOO_LARGE)])
    assert not any(isinstance(outcome, Failed) for outcome in outcomes)
    assert_same(outcomes[:3], score(faulty, good))


def test_a_run_whose_queue_is_full_is_answered_429_alone_and_its_client_waits_its_turn(
    faulty: RewardServer, release: Path
) -> None:
    def of(run: str, name: str) -> float:
        return metrics(faulty).get(f'ttsrl_reward_run_{name}{{"run": "{run}"}}', 0.0)

    with ThreadPoolExecutor(4) as threads:
        held = threads.submit(score, faulty, [marked(IS_HELD)], run="flood")
        wait_until(lambda: metrics(faulty)["ttsrl_reward_in_flight{}"] == 1)
        waiting = threads.submit(score, faulty, utterances(8), run="flood")
        wait_until(lambda: of("flood", "queue_depth") == 8)
        answer = post(faulty, utterances(1), run="flood")
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert "8 utterances of this run wait" in answer.json()["detail"]
        sound = np.zeros(24_000, "<f4").tobytes()
        spoken = {
            "protocol_version": "1",
            "waveform_f32_base64": base64.b64encode(sound).decode(),
            **{"num_samples": 24_000, "sample_rate": 24_000, "prompt": "six dogs"},
        }
        answer = httpx.post(f"{faulty.url}/score", json=spoken, headers={"ttsrl-run": "flood"})
        assert (answer.status_code, int(answer.headers["retry-after"]) >= 1) == (429, True)
        assert httpx.get(f"{faulty.url}/readyz").status_code == 200
        client = threads.submit(scored_as, "flood", faulty, utterances(2, seed=1))
        wait_until(lambda: of("flood", "refused_total") >= 3)
        other = threads.submit(scored_as, "small", faulty, utterances(2, seed=2))
        wait_until(lambda: of("small", "queue_depth") == 2)
        release.touch()
        assert not any(isinstance(outcome, Failed) for outcome in held.result())
        answered = [*waiting.result(), *client.result(), *other.result()]
        assert all(isinstance(outcome, Ok) for outcome in answered)
    assert (of("small", "utterances_total"), of("small", "refused_total")) == (2, 0)
    assert of("flood", "utterances_total") == 11
    assert of("flood", "queue_depth") == of("small", "queue_depth") == 0


def scored_as(run: str, server: RewardServer, items: list[Utterance]) -> list[Outcome]:
    """As the trainer of a run has it."""

    async def score() -> list[Outcome]:
        async with RewardClient.of(server.run.reward, run=run) as client:
            return await client.score(items)

    return asyncio.run(score())


def test_the_name_of_a_run_has_to_be_one(faulty: RewardServer) -> None:
    answer = post(faulty, utterances(1), run="not a name")
    assert answer.status_code == 400
    assert "ttsrl-run is 'not a name'" in answer.json()["detail"]


def test_a_worker_that_dies_or_hangs_is_replaced_and_only_what_did_it_fails(
    faulty: RewardServer,
) -> None:
    (before,) = worker_pids(faulty)
    good = utterances(3)
    expected = score(faulty, good)
    seen = list[int]()
    answered = threading.Event()

    def watch() -> None:
        while not answered.is_set():
            seen.append(httpx.get(f"{faulty.url}/readyz").status_code)

    with ThreadPoolExecutor(1) as thread:
        watching = thread.submit(watch)
        outcomes = score(faulty, [good[0], marked(DIES), good[1], marked(HANGS), good[2]])
        answered.set()
        watching.result()
    assert_same([outcomes[0], outcomes[2], outcomes[4]], expected)
    died, hung = outcomes[1], outcomes[3]
    assert isinstance(died, Failed)
    assert died.kind == "scorer"
    assert "was killed by signal 9" in died.detail
    assert isinstance(hung, Failed)
    assert hung.kind == "deadline"
    assert (lost(faulty, "died"), lost(faulty, "hung")) == (2, 1)
    assert worker_pids(faulty) != [before]
    assert {200, 503} == set(seen)  # nobody is sent to a service without a worker


def test_two_workers_share_the_queue_and_one_goes_on_while_the_other_is_replaced(
    start_reward_service: StartRewards, reward_service: RewardServer
) -> None:
    server = start_reward_service([*SMALL_BATCHES, "reward.workers=2"])
    server.wait_ready()
    items = utterances(40, seed=5)
    expected = score(reward_service, items)
    first, second = worker_pids(server)
    with ThreadPoolExecutor(1) as thread:
        request = thread.submit(post, server, items)
        wait_until(lambda: metrics(server)["ttsrl_reward_queue_depth{}"] > 0)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: lost(server, "died") == 1)
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        answer = request.result()
    assert_same(ScoreResponse.model_validate_json(answer.content).outcomes, expected)
    wait_until(lambda: metrics(server)["ttsrl_reward_workers{}"] == 2)
    assert second in worker_pids(server)
    assert metrics(server)["ttsrl_reward_batch_capacity{}"] == 16
    assert server.stop() == 0
    assert not psutil.pid_exists(second)
