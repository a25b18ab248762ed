"""The audio-LLM: what is asked over the real protocol, strict answers, failures that stay alone."""

from __future__ import annotations

import socket
import threading
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from support.audio_llm_server import Asked, Page, Refused, serving
from support.paths import TINY
from ttsrl.config.evaluation import LlmQualityConfig
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.evaluation.quality import Quality, quality_digest
from ttsrl.reward.components import Llm, utilities_of
from ttsrl.reward.specification import configured
from ttsrl.scorers.audio_llm import AudioLlmScorer
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import RATE_HZ, check_scorer, voice
from ttsrl.scorers.remote import Usage
from ttsrl.synthesis.synthesiser import SynthesisedSpeech
from ttsrl.wire import Failed

LENGTHS_S = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
SPEECHES = [
    SpeechSample(voice(s), RATE_HZ, f"text {s}", "en", style=f"style {s}") for s in LENGTHS_S
]


def twice_its_seconds(asked: Asked) -> str:
    return f"{2 * len(asked.waveform) / asked.sample_rate_hz:g}"


def scorer_at(url: str, **settings: Any) -> AudioLlmScorer:
    return AudioLlmScorer(Llm(url=url, served_model="hears-well", low=0, high=6, **settings))


def test_each_utterance_gets_the_answer_to_its_own_question() -> None:
    prompt = "Is {text} in {language} {style}? {low} to {high}: {{number}}"
    with serving(twice_its_seconds) as server:
        scorer = scorer_at(server.url, prompt=prompt, input_price=2.0, output_price=50.0)
        assert scorer.score(SPEECHES) == [{"llm": 2 * s} for s in LENGTHS_S]
        used = scorer.take_usage()
        assert (used.requests, used.input_tokens, used.output_tokens) == (6, 600, 12)
        assert used.cost == pytest.approx((600 * 2 + 12 * 50) / 1e6)
        assert scorer.take_usage() == Usage()
    asked = {asked.words: asked for asked in server.asked}
    one = asked["Is text 1.5 in en style 1.5? 0 to 6: {number}"]
    assert one.sample_rate_hz == RATE_HZ
    np.testing.assert_allclose(one.waveform, SPEECHES[2].waveform, atol=1 / 32767)
    assert one.body["model"] == "hears-well"
    assert one.body["temperature"] == 0


@pytest.mark.parametrize("said", ["3", " 4.5\n", "+2", "5."])
def test_a_number_is_an_answer(said: str) -> None:
    with serving(lambda _: said) as server:
        assert scorer_at(server.url).score(SPEECHES[:1]) == [{"llm": float(said)}]


@pytest.mark.parametrize(
    "said", ["four", "4/5", "Score: 4", "4 5", "", None, "nan", "inf", "-1", "6.1", "٣", "1e0"]
)
def test_anything_else_is_a_failed_measurement_of_that_utterance_alone(said: str | None) -> None:
    def rule(asked: Asked) -> str | None:
        return said if "text 1.0" in asked.words else "3"

    with serving(rule) as server:
        first, second, *others = scorer_at(server.url).score(SPEECHES)
    assert first == {"llm": 3.0}
    assert isinstance(second, Failed)
    assert second.kind == "scorer"
    assert others == [{"llm": 3.0}] * 4
    assert len(server.asked) == len(SPEECHES)


def test_what_passes_is_asked_again_and_what_does_not_is_not() -> None:
    seen: list[str] = []

    def rule(asked: Asked) -> str | Refused:
        seen.append(asked.words)
        at_once = (("retry-after-ms", "1"),)
        if "text 0.5" in asked.words and seen.count(asked.words) < 3:
            return Refused(429 if seen.count(asked.words) == 1 else 503, at_once)
        if "text 1.0" in asked.words:
            return Refused(503, at_once)
        return Refused(400) if "text 1.5" in asked.words else "3"

    with serving(rule) as server:
        again, down, refused, fine = scorer_at(server.url, retries=2).score(SPEECHES[:4])
    assert (again, fine) == ({"llm": 3.0}, {"llm": 3.0})
    assert isinstance(down, Failed)
    assert isinstance(refused, Failed)
    assert (down.kind, refused.kind) == ("unreachable", "scorer")
    assert f"{server.url} answers 503" in down.detail
    counts = [sum(text in words for words in seen) for text in ("0.5", "1.0", "1.5", "2.0")]
    assert counts == [3, 3, 1, 1]


@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_a_page_of_a_proxy_is_a_failed_measurement(content_type: str) -> None:
    page = Page("<html>hello</html>", content_type)
    with serving(lambda asked: page if "text 0.5" in asked.words else "3") as server:
        failed, fine = scorer_at(server.url).score(SPEECHES[:2])
    assert fine == {"llm": 3.0}
    assert isinstance(failed, Failed)
    assert failed.kind == "scorer"
    assert 'answers no JSON: "<html>hello</html>"' in failed.detail


def test_an_outage_and_a_time_out_are_no_opinion() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    (gone,) = scorer_at(url, retries=0).score(SPEECHES[:1])
    assert isinstance(gone, Failed)
    assert gone.kind == "unreachable"
    assert url in gone.detail
    with pytest.raises(RuntimeError, match="llm: "):
        check_scorer("llm", scorer_at(url, retries=0))
    over = threading.Event()

    def hang(_: Asked) -> str:
        over.wait(120)
        return "3"

    with serving(hang) as server:
        (late,) = scorer_at(server.url, retries=0, deadline_s=0.2).score(SPEECHES[:1])
        over.set()
    assert isinstance(late, Failed)
    assert (late.kind, late.detail) == (
        "unreachable",
        f"llm: no answer from {server.url} in 0.2 s",
    )


def test_a_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(asked: Asked) -> str | Refused:
        return "3" if asked.key == "k3y" else Refused(401)

    with serving(rule) as server:
        (refused,) = scorer_at(server.url).score(SPEECHES[:1])
        assert isinstance(refused, Failed)
        assert "answers 401" in refused.detail
        assert "name the key's variable as key_variable" in refused.detail
        monkeypatch.delenv("LLM_KEY", raising=False)
        with pytest.raises(BadInput, match="set the environment variable LLM_KEY"):
            scorer_at(server.url, key_variable="LLM_KEY")
        monkeypatch.setenv("LLM_KEY", "k3y")
        scorer = scorer_at(server.url, key_variable="LLM_KEY")
        assert scorer.score(SPEECHES[:1]) == [{"llm": 3.0}]
        check_scorer("llm", scorer)


def test_a_prompt_about_the_style_needs_one() -> None:
    plain = SpeechSample(voice(1.0), RATE_HZ, "text", "en")
    with serving(lambda _: "3") as server:
        scorer = scorer_at(server.url, prompt="Is it {style}?")
        (failed,) = scorer.score([plain])
        check_scorer("llm", scorer)  # its reference clip has a style
    assert isinstance(failed, Failed)
    assert failed.kind == "rejected"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": "audio-llm:8000"}, "not an address"),
        ({"prompt": "Say {words}"}, r"\{words\} is not known; the prompt may have \{text\}"),
        ({"prompt": "{"}, "for a brace that is meant"),
        ({"prompt": "{}"}, r"\{\} is not known"),
        ({"low": 5, "high": 1}, "low = 5 is not below high = 1"),
    ],
)
def test_settings_that_cannot_be_asked_with_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Llm.model_validate({"url": "http://a/v1", "served_model": "m"} | settings)


def test_its_utility_is_the_place_on_the_scale_once_the_words_are_right() -> None:
    component = Llm(url="http://a/v1", served_model="m", low=0, high=10)
    assert utilities_of([component], {"cer": 0.1, "llm": 7.5}, "en") == {"llm": 0.75}
    assert utilities_of([component], {"cer": 0.3, "llm": 7.5}, "en") == {"llm": 0.0}


def test_where_it_is_decides_no_reward_and_what_is_asked_does() -> None:
    def of(**settings: Any) -> dict[str, Any]:
        component = {"type": "llm", "url": "http://a/v1", "served_model": "m"} | settings
        run = load_run(TINY / "run.json")
        reward = run.reward.model_validate(
            run.reward.model_dump() | {"components": [{"type": "cer"}, component]}
        )
        return configured(reward)

    assert of() == of(url="http://b/v1", retries=5, input_price=1.0, deadline_s=1.0)
    assert of() != of(prompt="How good?")
    assert of() != of(served_model="n")
    assert of() != of(high=7.0)


def test_evaluation_asks_too_and_a_failure_is_no_opinion() -> None:
    def rule(asked: Asked) -> str:
        return "bad" if "text 1.0" in asked.words else "3"

    spoken = [
        SynthesisedSpeech(s.text, [1], True, s.waveform, s.sample_rate_hz) for s in SPEECHES[:3]
    ]
    spoken.append(SynthesisedSpeech("nothing", [], True, np.zeros(0, np.float32), RATE_HZ))
    with serving(rule) as server:
        config = LlmQualityConfig(type="llm", url=server.url, served_model="m", input_price=1e4)
        quality = Quality(config, "cpu", 8)
        assert quality.of(spoken, ["en"] * 4) == [3.0, None, 3.0, None]
        assert len(server.asked) == 3
        told = "llm: 3 answers for 300 + 6 tokens, cost 3.0000"
        assert quality.told_usage() == told
    moved = config.model_copy(update={"url": "http://b/v1"})
    assert quality_digest(config) == quality_digest(moved)
    assert quality_digest(config) != quality_digest(config.model_copy(update={"prompt": "How?"}))


def test_the_model_that_rewards_does_not_evaluate_unless_the_run_says_so() -> None:
    asked = '{"type": "llm", "url": "http://a/v1", "served_model": "m"}'
    rewarded = f'reward.components=[{{"type": "cer"}}, {asked}]'
    with pytest.raises(BadInput, match=r"eval\.quality 'llm' is a component of the reward"):
        load_run(TINY / "run.json", [rewarded, f"eval.quality=[{asked}]"])
    other = asked.replace('"m"', '"n"')
    assert load_run(TINY / "run.json", [rewarded, f"eval.quality=[{other}]"])
