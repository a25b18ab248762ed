"""Scorers of others: what they are asked, what is an answer, failures that stay alone."""

from __future__ import annotations

import socket
import threading
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from support.audio_scorer_server import ScoreAsked, ScoreSaid, scoring
from support.paths import TINY
from ttsrl.config.evaluation import HttpQualityConfig
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.evaluation.quality import Quality, quality_digest
from ttsrl.reward.components import Http, utilities_of
from ttsrl.reward.specification import configured
from ttsrl.scorers import audio_scorer
from ttsrl.scorers.audio_scorer import AudioHttpScorer
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import RATE_HZ, check_scorer, voice
from ttsrl.synthesis.synthesiser import SynthesisedSpeech
from ttsrl.wire import Failed

LENGTHS_S = [0.5, 1.0, 1.5, 2.0]
SPEECHES = [
    SpeechSample(voice(s), RATE_HZ, f"text {s}", "en", speaker=f"speaker {s}") for s in LENGTHS_S
]


def scorer_at(url: str, **settings: Any) -> AudioHttpScorer:
    return AudioHttpScorer(Http(url=url, served_model="btrm-1", **settings))


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_scorer, "FIRST_DELAY_S", 1e-3)


def only(results: list[dict[str, float] | Failed]) -> Failed:
    (failed,) = results
    assert isinstance(failed, Failed)
    return failed


def test_each_waveform_is_scored_with_its_own_text_and_conditions() -> None:
    def rule(asked: ScoreAsked) -> ScoreSaid:
        seconds = len(asked.waveform) / asked.sample_rate_hz
        return ScoreSaid({"score": -2 * seconds, "cer": 0.5, "asr_text": "heard"})

    with scoring(rule) as server:
        scorer = scorer_at(server.url)
        assert scorer.score(SPEECHES) == [{"http": -2 * s} for s in LENGTHS_S]
        assert scorer.take_usage().requests == len(LENGTHS_S)
    one = {asked.prompt: asked for asked in server.asked}["text 1.5"]
    np.testing.assert_array_equal(one.waveform, SPEECHES[2].waveform)
    assert one.sample_rate_hz == RATE_HZ
    assert one.metadata == {"language": "en", "speaker": "speaker 1.5"}


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[" * 100_000,
        [1.0],
        {},
        {"error": "model failed", "score": 1.0},
        {"score": None},
        {"score": True},
        {"score": "1.25"},
        {"score": [1.0]},
        b'{"score": NaN}',
        b'{"score": 1e999}',
        b'{"score": 1' + b"0" * 400 + b"}",
        b" " * 2**21,
    ],
    ids=lambda body: str(body)[:20],
)
def test_what_is_no_score_is_a_failed_measurement_of_that_utterance_alone(body: object) -> None:
    def rule(asked: ScoreAsked) -> ScoreSaid:
        return ScoreSaid(body if asked.prompt == "text 1.0" else {"score": 0.5})

    with scoring(rule) as server:
        first, second, *others = scorer_at(server.url).score(SPEECHES)
    assert first == {"http": 0.5}
    assert isinstance(second, Failed)
    assert second.kind == "scorer"
    assert others == [{"http": 0.5}] * 2
    assert len(server.asked) == len(SPEECHES)


def test_what_passes_is_asked_again_and_what_does_not_is_not() -> None:
    seen: list[str] = []

    def rule(asked: ScoreAsked) -> ScoreSaid:
        seen.append(asked.prompt)
        if asked.prompt == "text 0.5":
            return ScoreSaid({"error": "busy"}, [429, 503, 200][seen.count(asked.prompt) - 1])
        if asked.prompt == "text 1.0":
            return ScoreSaid({"error": "down"}, 500)
        if asked.prompt == "text 1.5":
            return ScoreSaid({"error": "Audio scorer requires a non-empty prompt."}, 400)
        return ScoreSaid({"score": 0.5})

    with scoring(rule) as server:
        strange, down, refused, fine = scorer_at(server.url, retries=2).score(SPEECHES)
    assert fine == {"http": 0.5}
    kinds: list[str] = []
    for failed in (strange, down, refused):
        assert isinstance(failed, Failed)
        kinds.append(failed.kind)
    assert kinds == ["scorer", "unreachable", "rejected"]
    assert isinstance(down, Failed)
    assert f'{server.url} answers 500: {{"error": "down"}}' in down.detail
    assert [seen.count(speech.text) for speech in SPEECHES] == [3, 3, 1, 1]


def test_an_outage_and_a_time_out_are_no_score() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/score"
    gone = only(scorer_at(url).score(SPEECHES[:1]))
    assert gone.kind == "unreachable"
    assert url in gone.detail
    with pytest.raises(RuntimeError, match="http: "):
        check_scorer("http", scorer_at(url))
    over = threading.Event()

    def hang(_: ScoreAsked) -> ScoreSaid:
        over.wait(120)
        return ScoreSaid({"score": 1.0})

    with scoring(hang) as server:
        late = only(scorer_at(server.url, deadline_s=0.2).score(SPEECHES[:1]))
        over.set()
    assert (late.kind, late.detail) == (
        "unreachable",
        f"http: no answer from {server.url} in 0.2 s",
    )
    assert len(server.asked) == 1


def test_a_busy_scorer_is_not_waited_for_beyond_the_deadline() -> None:
    busy = ScoreSaid({"error": "busy"}, 429, (("retry-after", "600"),))
    with scoring(lambda _: busy) as server:
        failed = only(scorer_at(server.url, deadline_s=60).score(SPEECHES[:1]))
    assert failed.kind == "unreachable"
    assert len(server.asked) == 1


def test_a_wrong_address_and_a_missing_key_say_what_to_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rule(asked: ScoreAsked) -> ScoreSaid:
        known = asked.authorization == "Bearer k3y"
        return ScoreSaid({"score": 0.5}) if known else ScoreSaid({"error": "who?"}, 401)

    with scoring(rule) as server:
        lost = only(scorer_at(server.url + "s").score(SPEECHES[:1]))
        assert (lost.kind, "is url the address" in lost.detail) == ("unreachable", True)
        refused = only(scorer_at(server.url).score(SPEECHES[:1]))
        assert "name the key's variable as key_variable" in refused.detail
        monkeypatch.delenv("SCORER_KEY", raising=False)
        with pytest.raises(BadInput, match="set the environment variable SCORER_KEY"):
            scorer_at(server.url, key_variable="SCORER_KEY")
        monkeypatch.setenv("SCORER_KEY", "k3y")
        scorer = scorer_at(server.url, key_variable="SCORER_KEY")
        assert scorer.score(SPEECHES[:1]) == [{"http": 0.5}]
        check_scorer("http", scorer)


def test_its_scale_makes_a_utility() -> None:
    component = Http(url="http://a/score", served_model="m", low=-1, high=3, max_cer=0.2)
    assert utilities_of([component], {"cer": 0.1, "http": 2.0}, "en") == {"http": 0.75}
    assert utilities_of([component], {"cer": 0.1, "http": 9.0}, "en") == {"http": 1.0}
    assert utilities_of([component], {"cer": 0.3, "http": 2.0}, "en") == {"http": 0.0}
    with pytest.raises(ValidationError, match="is not an address"):
        Http(url="scorer:18080", served_model="m")
    with pytest.raises(ValidationError, match="low = 1 is not below high = 1"):
        Http(url="http://a/score", served_model="m", low=1)
    with pytest.raises(ValidationError, match="served_model"):
        Http.model_validate({"url": "http://a/score"})


def test_what_measures_is_part_of_the_specification_and_where_is_not() -> None:
    def spec(**settings: Any) -> dict[str, Any]:
        component = Http(url="http://a/score", served_model="m").model_copy(update=settings)
        run = load_run(TINY / "run.json", [f"reward.components=[{component.model_dump_json()}]"])
        return configured(run.reward)

    assert spec() == spec(url="http://b/score", deadline_s=3.0, retries=0, concurrency=1)
    assert spec() == spec(key_variable="K")
    for other in ({"served_model": "m2"}, {"low": -1.0}, {"high": 2.0}, {"weight": 2.0}):
        assert spec() != spec(**other)


def spoken(speech: SpeechSample) -> SynthesisedSpeech:
    return SynthesisedSpeech(speech.text, [1], True, speech.waveform, speech.sample_rate_hz)


def test_evaluation_asks_too_tries_again_and_takes_a_failure_for_no_score() -> None:
    outages = iter([503])

    def rule(asked: ScoreAsked) -> ScoreSaid:
        if "text 0.5" in asked.prompt and (status := next(outages, None)):
            return ScoreSaid({"error": "busy"}, status)
        return ScoreSaid({"score": None if "text 1.0" in asked.prompt else 0.25})

    silent = SynthesisedSpeech("nothing", [], True, np.zeros(0, np.float32), RATE_HZ)
    with scoring(rule) as server:
        config = HttpQualityConfig(type="http", url=server.url, served_model="btrm-1")
        quality = Quality(config, "cpu", 8)
        assert quality.of([*map(spoken, SPEECHES[:3]), silent], ["en"] * 4) == [
            *(0.25, None, 0.25),
            None,
        ]
        assert {asked.prompt for asked in server.asked} == {"text 0.5", "text 1.0", "text 1.5"}
        assert quality.told_usage() == "http: 4 answers"
    gone = Quality(config.model_copy(update={"retries": 1, "deadline_s": 5.0}), "cpu", 8)
    assert gone.of([spoken(SPEECHES[0])], ["en"]) == [None]
    moved = config.model_copy(update={"url": "http://b/score"})
    assert quality_digest(config) == quality_digest(moved)
    other = config.model_copy(update={"served_model": "btrm-2"})
    assert quality_digest(config) != quality_digest(other)


def test_evaluation_waits_no_longer_than_its_deadline() -> None:
    asked_once, release = threading.Event(), threading.Event()

    def rule(asked: ScoreAsked) -> ScoreSaid:
        asked_once.set()
        release.wait(120)
        return ScoreSaid({"score": 1.0})

    with scoring(rule) as server:
        config = HttpQualityConfig(
            type="http", url=server.url, served_model="m", deadline_s=0.5, retries=0
        )
        assert Quality(config, "cpu", 8).of([spoken(SPEECHES[0])], ["en"]) == [None]
        assert asked_once.is_set()
        release.set()


def test_the_scorer_that_rewards_does_not_evaluate_unless_the_run_says_so() -> None:
    asked = '{"type": "http", "url": "http://a/score", "served_model": "m"}'
    rewarded = f'reward.components=[{{"type": "cer"}}, {asked}]'
    with pytest.raises(BadInput, match=r"eval\.quality 'http' is a component of the reward"):
        load_run(TINY / "run.json", [rewarded, f"eval.quality=[{asked}]"])
    other = asked.replace('"m"', '"n"')
    assert load_run(TINY / "run.json", [rewarded, f"eval.quality=[{other}]"])
