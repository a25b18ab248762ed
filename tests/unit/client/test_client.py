"""The client against a real HTTP server that fails as it is told."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import ttsrl.client.reward_client
from ttsrl.client.reward_client import MEASUREMENTS, RewardClient, score_blocking
from ttsrl.errors import BadInput
from ttsrl.reward.components import Cer, Nll
from ttsrl.reward.config import Gates, RewardConfig, WhisperConfig
from ttsrl.reward.specification import configured
from ttsrl.wire import (
    Failed,
    Gated,
    Ok,
    Outcome,
    ScoreRequest,
    ScoreResponse,
    ServiceSpec,
    Utterance,
)


class StubServer:
    """Answers like the reward service, unless `fault` gives another answer first."""

    def __init__(self) -> None:
        self.reset()
        routes = [
            Route("/v1/score", self.score, methods=["POST"]),
            Route("/v1/spec", self.spec),
            Route("/readyz", lambda request: Response()),
        ]
        config = uvicorn.Config(Starlette(routes=routes), log_level="error", lifespan="off")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))

    def reset(self) -> None:
        self.bodies: list[ScoreRequest] = []
        self.times_s: list[float] = []
        self.tokens: list[str | None] = []
        self.measurements = 0
        self.running = 0
        self.most_running = 0
        self.fault: Callable[[int], Response | None] = lambda request: None
        self.measure: Callable[[int, Utterance], Outcome] = lambda measurement, u: spoken(u)
        self.delay_s = 0.0
        self.spec_hash = "abc"
        self.specification: dict[str, Any] = {}
        self.version = version("ttsrl")

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    async def score(self, request: Request) -> Response:
        self.times_s.append(time.monotonic())
        self.tokens.append(request.headers.get("authorization"))
        body = ScoreRequest.model_validate_json(await request.body())
        self.bodies.append(body)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(self.delay_s)
        self.running -= 1
        if answer := self.fault(len(self.bodies) - 1):
            return answer
        outcomes = [self.measured(utterance) for utterance in body.utterances]
        response = ScoreResponse(outcomes=outcomes, spec_hash=self.spec_hash)
        return Response(response.model_dump_json(), media_type="application/json")

    def measured(self, utterance: Utterance) -> Outcome:
        self.measurements += 1
        return self.measure(self.measurements - 1, utterance)

    def spec(self, request: Request) -> Response:
        spec = ServiceSpec(
            spec_hash=self.spec_hash,
            specification=self.specification,
            versions={"ttsrl": self.version},
            codec="codec",
            codebook_size=8,
            sample_rate_hz=16_000,
            tokens_per_s=50.0,
        )
        return JSONResponse(spec.model_dump())


@pytest.fixture(scope="module")
def running_server() -> Iterator[StubServer]:
    server = StubServer()
    server.thread.start()
    yield server
    server.stop()


@pytest.fixture
def server(running_server: StubServer) -> StubServer:
    running_server.reset()
    return running_server


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ttsrl.client.reward_client, "FIRST_DELAY_S", 0.01)


def spoken(utterance: Utterance) -> Ok:
    """A reward that tells which utterance it belongs to."""
    reward = 1 / (1 + len(utterance.speech_tokens))
    return Ok(reward=reward, raw={}, utilities={}, transcript=utterance.text, duration_s=1.0)


def rollouts(count: int) -> list[Utterance]:
    return [Utterance(text=f"text {i}", speech_tokens=[0] * i) for i in range(count)]


def score(
    url: str, utterances: Sequence[Utterance], deadline_s: float = 20.0, **options: Any
) -> list[Outcome]:
    async def run() -> list[Outcome]:
        async with RewardClient(url, **options) as client:
            return await client.score(utterances, deadline_s)

    return asyncio.run(run())


def closed_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_rollouts_that_end_together_travel_together_and_come_back_in_order(
    server: StubServer,
) -> None:
    utterances = rollouts(100)

    async def run() -> list[Outcome]:
        async with RewardClient(server.url, gather_s=0.5) as client:

            async def roll_out(i: int) -> Outcome:
                await asyncio.sleep(i / 1000)
                return (await client.score([utterances[i]]))[0]

            return await asyncio.gather(*(roll_out(i) for i in range(100)))

    assert asyncio.run(run()) == [spoken(u) for u in utterances]
    assert [len(body.utterances) for body in server.bodies] == [32, 32, 32, 4]


def test_no_more_requests_are_under_way_than_allowed(server: StubServer) -> None:
    server.delay_s = 0.2
    outcomes = score(server.url, rollouts(20), batch_size=2, max_requests=3)
    assert outcomes == [spoken(u) for u in rollouts(20)]
    assert server.most_running == 3


def test_equal_utterances_in_flight_are_measured_once(server: StubServer) -> None:
    twice = [Utterance(text="a", speech_tokens=[1], id="first")]
    twice += [Utterance(text="a", speech_tokens=[1], id="second")]
    other = Utterance(text="a", speech_tokens=[1], finished=False)
    assert score(server.url, [*twice, other]) == [spoken(twice[0])] * 3
    assert server.measurements == 2


def test_a_caller_that_gives_up_leaves_the_others_their_score(server: StubServer) -> None:
    server.delay_s = 0.3
    utterance = rollouts(2)[1]

    async def run() -> tuple[list[Outcome], list[Outcome]]:
        async with RewardClient(server.url) as client:
            return await asyncio.gather(
                client.score([utterance], deadline_s=0.1), client.score([utterance])
            )

    (gave_up,), (stayed,) = asyncio.run(run())
    assert isinstance(gave_up, Failed)
    assert gave_up.kind == "deadline"
    assert stayed == spoken(utterance)


def test_a_score_that_arrives_as_the_client_closes_does_no_harm(server: StubServer) -> None:
    utterance = rollouts(1)[0]

    async def run() -> Outcome:
        async with RewardClient(server.url) as client:
            waiting = asyncio.create_task(client.score([utterance]))
            await asyncio.sleep(0)
            (item,) = client._in_flight.values()
            item.outcome.set_result(spoken(utterance))
        return (await waiting)[0]

    assert asyncio.run(run()) == spoken(utterance)


def test_a_fifth_of_the_scores_failing_costs_no_reward(server: StubServer) -> None:
    server.measure = lambda n, u: Failed(kind="scorer") if n % 5 == 0 else spoken(u)
    server.fault = lambda request: Response(status_code=503) if request % 5 == 0 else None
    utterances = rollouts(200)
    assert score(server.url, utterances, batch_size=8) == [spoken(u) for u in utterances]


def test_only_what_failed_is_sent_again(server: StubServer) -> None:
    server.measure = lambda n, u: Failed(kind="scorer") if n == 1 else spoken(u)
    utterances = rollouts(3)
    assert score(server.url, utterances) == [spoken(u) for u in utterances]
    assert [body.utterances for body in server.bodies] == [utterances, [utterances[1]]]


def test_a_measurement_that_keeps_failing_is_believed_at_last(server: StubServer) -> None:
    failed = Failed(kind="decode", detail="no memory")
    server.measure = lambda n, u: failed
    assert score(server.url, rollouts(1)) == [failed]
    assert server.measurements == MEASUREMENTS


@pytest.mark.parametrize(
    "final",
    [Gated(reason="silence"), Failed(kind="nan"), Failed(kind="rejected")],
)
def test_what_another_measurement_cannot_change_is_not_measured_again(
    server: StubServer, final: Outcome
) -> None:
    server.measure = lambda n, u: final
    assert score(server.url, rollouts(1)) == [final]
    assert server.measurements == 1


@pytest.mark.parametrize(
    "answer",
    [
        Response(status_code=503),
        Response(status_code=500),
        Response(status_code=429),
        Response("<html>a proxy</html>"),
        JSONResponse({"outcomes": [], "spec_hash": "abc"}),
    ],
    ids=["503", "500", "429", "garbage", "too few outcomes"],
)
def test_an_outage_that_ends_costs_nothing_and_one_that_stays_is_no_reward(
    server: StubServer, answer: Response
) -> None:
    server.fault = lambda request: answer if request < 3 else None
    assert score(server.url, rollouts(2)) == [spoken(u) for u in rollouts(2)]
    server.fault = lambda request: answer
    outcomes = score(server.url, rollouts(2), deadline_s=0.3)
    assert [o.kind for o in outcomes if isinstance(o, Failed)] == ["unreachable"] * 2


def test_nothing_listening_is_unreachable_and_does_not_raise() -> None:
    (outcome,) = score(closed_url(), rollouts(1), deadline_s=0.3)
    assert isinstance(outcome, Failed)
    assert outcome.kind == "unreachable"
    assert "connection" in outcome.detail.lower()


def test_a_service_that_comes_late_still_scores() -> None:
    server = (
        StubServer()
    )  # listens, so that connections wait, but answers none before it is started
    timer = threading.Timer(0.5, server.thread.start)
    timer.start()
    try:
        assert score(server.url, rollouts(2)) == [spoken(u) for u in rollouts(2)]
    finally:
        timer.join()
        server.stop()


def test_retry_after_is_honoured(server: StubServer) -> None:
    busy = Response(status_code=429, headers={"Retry-After": "1"})
    server.fault = lambda request: busy if request == 0 else None
    assert score(server.url, rollouts(1)) == [spoken(rollouts(1)[0])]
    first_s, second_s = server.times_s
    assert second_s - first_s >= 1.0


def test_clients_that_were_sent_away_together_come_back_apart(
    server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Response(status_code=429, headers={"Retry-After": "1"})
    server.fault = lambda request: busy if request == 0 else None
    monkeypatch.setattr(
        ttsrl.client.reward_client.random, "uniform", lambda lowest, highest: highest
    )
    score(server.url, rollouts(1))
    first_s, second_s = server.times_s
    assert second_s - first_s >= 1.5  # the latest of the times at which others come


def test_no_answer_within_the_deadline_is_no_reward(server: StubServer) -> None:
    server.delay_s = 1.0
    (outcome,) = score(server.url, rollouts(1), deadline_s=0.2)
    assert isinstance(outcome, Failed)
    assert outcome.kind == "deadline"
    assert "0.2 s" in outcome.detail


def test_a_refused_body_raises_with_the_services_words(server: StubServer) -> None:
    server.fault = lambda request: JSONResponse({"error": "no such field"}, status_code=400)
    with pytest.raises(BadInput, match=r"400.*no such field"):
        score(server.url, rollouts(3))
    assert len(server.bodies) == 1
    server.fault = lambda request: Response("<html>\n<body>\nno such page\n", status_code=404)
    with pytest.raises(BadInput, match=r"404: <html> <body> no such page; is reward\.url"):
        score(server.url, rollouts(3))


def test_a_wrong_token_raises_and_names_the_file(server: StubServer, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("secret\n")
    server.fault = lambda request: Response(status_code=401)
    with pytest.raises(BadInput, match="token_file"):
        score(server.url, rollouts(1), token_file=str(token_file))
    assert server.tokens == ["Bearer secret"]


@pytest.mark.parametrize("content", [None, ""])
def test_a_missing_or_empty_token_file_raises(
    server: StubServer, tmp_path: Path, content: str | None
) -> None:
    token_file = tmp_path / "token"
    if content is not None:
        token_file.write_text(content)
    with pytest.raises(BadInput, match="token"):
        score(server.url, rollouts(1), token_file=str(token_file))


def test_a_rotated_token_is_read_again_without_a_lost_score(
    server: StubServer, tmp_path: Path
) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("old")
    valid = "Bearer old"

    def check(request: int) -> Response | None:
        if request == 3:
            token_file.write_text("new")
        return None if server.tokens[-1] == valid else Response(status_code=401)

    server.fault = check

    async def run() -> list[Outcome]:
        nonlocal valid
        async with RewardClient(server.url, token_file=str(token_file)) as client:
            before = await client.score(rollouts(2)[:1])
            valid = "Bearer new"
            return before + await client.score(rollouts(2)[1:])

    assert asyncio.run(run()) == [spoken(u) for u in rollouts(2)]


def test_another_specification_in_the_middle_of_a_run_raises(server: StubServer) -> None:
    async def run() -> None:
        async with RewardClient(server.url) as client:
            await client.score(rollouts(1))
            server.spec_hash = "def"
            await client.score(rollouts(2)[1:])

    with pytest.raises(BadInput, match=r"def.*abc"):
        asyncio.run(run())


def wait_ready(
    url: str, timeout_s: float = 60.0, absent_s: float | None = None, **options: Any
) -> ServiceSpec:
    async def run() -> ServiceSpec:
        async with RewardClient(url, **options) as client:
            return await client.wait_ready(timeout_s, absent_s)

    return asyncio.run(run())


def test_wait_ready_gives_the_specification(server: StubServer) -> None:
    assert wait_ready(server.url, spec_hash="abc").codebook_size == 8


def test_wait_ready_says_what_to_start_when_nothing_listens() -> None:
    url = closed_url()
    with pytest.raises(BadInput, match=rf"{url}.*ttsrl serve"):
        wait_ready(url, timeout_s=0.3)


def test_an_address_at_which_nothing_listens_is_not_waited_for_as_long(server: StubServer) -> None:
    with pytest.raises(BadInput, match=r"nothing listens at .*ttsrl serve"):
        wait_ready(closed_url(), timeout_s=600, absent_s=0)
    with pytest.raises(BadInput, match=r"nothing listens at http://no-such-host\.invalid"):
        wait_ready("http://no-such-host.invalid", timeout_s=600, absent_s=0)
    loading = iter([503, 503])  # something listens, and loads
    server.fault = lambda request: (
        Response(status_code=status) if (status := next(loading, None)) else None
    )
    assert wait_ready(server.url, absent_s=0).codebook_size == 8


def test_wait_ready_refuses_another_specification_and_another_version(server: StubServer) -> None:
    with pytest.raises(BadInput, match=r"abc.*def"):
        wait_ready(server.url, spec_hash="def")
    server.version = "0.0.1"
    with pytest.raises(BadInput, match=rf"0\.0\.1.*{version('ttsrl')}"):
        wait_ready(server.url)


def test_a_service_of_another_configuration_is_refused_with_what_differs(
    server: StubServer,
) -> None:
    reward = RewardConfig(url=server.url, whisper=WhisperConfig(model="/here/whisper"))

    async def run() -> None:
        async with RewardClient.of(reward) as client:
            await client.wait_ready(60.0)

    whisper = WhisperConfig(model="/there/whisper")  # elsewhere, which makes no difference
    server.specification = {"whisper": "digest"} | configured(RewardConfig(whisper=whisper))
    asyncio.run(run())
    other = RewardConfig(
        whisper=whisper, components=[Cer(weight=0.7), Nll()], gates=Gates(slack_s=2)
    )
    server.specification = configured(other)
    with pytest.raises(BadInput, match="another reward than this run's") as refused:
        asyncio.run(run())
    for fact in ("components.cer.weight is 0.7 there, 0.6 here", "gates.slack_s is 2.0 there"):
        assert fact in str(refused.value)
    server.specification = {}
    with pytest.raises(BadInput, match="composition is null there"):
        asyncio.run(run())


def test_wait_ready_refuses_a_wrong_token(server: StubServer) -> None:
    server.fault = lambda request: Response(status_code=401)
    with pytest.raises(BadInput, match="token_file"):
        wait_ready(server.url)


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://"])
def test_an_address_that_is_none_raises(url: str) -> None:
    with pytest.raises(BadInput, match=r"reward\.url"):
        RewardClient(url)


def test_scores_without_an_event_loop_by_configuration(server: StubServer) -> None:
    reward = RewardConfig(url=server.url, whisper=WhisperConfig(model="unused"))
    assert score_blocking(reward, rollouts(2)) == [spoken(u) for u in rollouts(2)]
