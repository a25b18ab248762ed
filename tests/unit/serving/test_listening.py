"""Which rewards listen with Whisper, and what those that do not are spared."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from support.outcomes import ok
from support.paths import ROOT
from support.whisper_engine import whisper_of
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.facts import models_in
from ttsrl.scorers.base import Raw
from ttsrl.serving.compat.channel_io import answer
from ttsrl.serving.pipeline import Pipeline
from ttsrl.wire import Utterance

TINY_RUN = ROOT / "examples/tiny/run.json"
RATE = {"type": "rate"}
STYLE = {"type": "style", "text": "a man"}


def run_of(*components: dict[str, Any], settings: Sequence[str] = ()) -> RunConfig:
    return load_run(TINY_RUN, [f"reward.components={json.dumps(components)}", *settings])


@pytest.mark.parametrize(
    ("components", "listens"),
    [
        ([RATE], False),
        ([{"type": "pinyin_wer"}], False),
        ([STYLE | {"max_cer": None}, RATE], False),
        ([STYLE], True),
        ([RATE | {"max_cer": 0.5}], True),
        ([RATE, {"type": "language"}], True),
        ([RATE, {"type": "wer", "weight": 0.1}], True),
    ],
)
def test_whisper_is_part_of_a_run_only_where_a_component_needs_it(
    components: list[dict[str, Any]], listens: bool
) -> None:
    run = run_of(*components)
    assert (run.reward.whisper is not None) == listens
    assert ("reward.whisper.model" in models_in(run)) == listens


@pytest.mark.parametrize(
    ("components", "needs"),
    [([], "cer"), ([RATE, {"type": "language"}], "language"), ([RATE, STYLE], "style")],
)
def test_a_component_that_needs_a_whisper_that_is_not_given_is_named(
    components: list[dict[str, Any]], needs: str
) -> None:
    given = [f"reward.components={json.dumps(components)}"] if components else []
    with pytest.raises(BadInput, match=rf"'{needs}' needs Whisper, and whisper\.model is missing"):
        load_run(TINY_RUN, ["reward.whisper=null", *given])


def test_without_whisper_speech_of_any_length_is_measured_and_needs_no_transcript() -> None:
    run = run_of(RATE | {"low": 0}, settings=["reward.whisper.model=/no/whisper"])
    pipeline = Pipeline(run)
    pipeline.warm_up()
    pipeline.self_test()
    assert pipeline.whisper is None and not {"whisper", "whisper_dtype"} & {*pipeline.specification}
    text = "twelve " * 25  # 82 s may be right for it, and are beyond every window of Whisper
    count = round(82 * pipeline.codec.tokens_per_s)
    long = Utterance(text=text, speech_tokens=[n % 100 for n in range(count)])
    outcome = ok(pipeline.score([long])[0])
    assert outcome.duration_s > 80
    assert outcome.transcript is None
    heard_of_guards = {"pitch_spread", "voiced_share"}  # of a part of the rollouts
    assert set(outcome.raw) - heard_of_guards == {"rate", "speech_s", "faint_speech_s"}


def test_channel_io_s_clients_are_told_where_no_whisper_listens() -> None:
    run = run_of(RATE | {"low": 0})
    outcome = Pipeline(run).score([Utterance(text="one two", speech_tokens=[*range(50)])])[0]
    response = answer(outcome)
    assert response.status_code == 500
    assert b"does not listen with Whisper" in bytes(response.body)


def test_the_language_is_a_component(monkeypatch: pytest.MonkeyPatch) -> None:
    both = {"type": "language", "languages": ["en", "de"], "weight": 1}
    with pytest.raises(BadInput, match=r"wants 'de', which the Whisper at"):
        Pipeline(run_of(both))  # the tiny Whisper knows English alone
    pipeline = Pipeline(run_of({"type": "language"}, settings=["reward.cache_size=0"]))
    say = Utterance(text="one two", speech_tokens=[*range(12)])
    heard = Raw("one two", 0.0, 0.0, 0.1, 0.2, {"en": 0.25, "de": 0.5, "fr": 0.25})
    monkeypatch.setattr(whisper_of(pipeline), "score", lambda *_: [heard])
    outcome = ok(pipeline.score([say])[0])
    assert outcome.reward == outcome.utilities["language"] == outcome.raw["language"] == 0.25
    monkeypatch.setattr(pipeline, "reward", run_of(both).reward)
    outcome = ok(pipeline.score([say])[0])
    assert outcome.reward == 0.75
    assert (outcome.raw["language_en"], outcome.raw["language_de"]) == (0.25, 0.5)
