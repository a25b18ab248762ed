"""Judges of styles: what they hear, and what they refuse before anything is spoken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from examples.styles.domain import HERE, STYLES, say
from examples.tiny.domain import HERE as TINY
from support.tiny_scorers import save_tiny_clap
from ttsrl.codecs.tiny import TinyCodec
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import prepare
from ttsrl.errors import BadInput
from ttsrl.evaluation.evaluate import evaluate
from ttsrl.evaluation.independence import check_independent
from ttsrl.evaluation.protocol import protocol_of
from ttsrl.evaluation.style_judges import StyleListener, style_listeners
from ttsrl.evaluation.suites import Suite, SuiteText, held_out_suite
from ttsrl.models.recorded_run import differences
from ttsrl.models.revisions import without_known_revisions
from ttsrl.records.sampling import Sampling
from ttsrl.reward.components import Style
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.style import StyleScorer
from ttsrl.synthesis.synthesiser import SynthesisedSpeech

RUN = str(HERE / "run.json")
WORDS = ["four", "red", "tigers"]


def run_with(*judges: dict[str, object], changes: Sequence[str] = ()) -> RunConfig:
    return load_run(RUN, [f"eval.styles={json.dumps(judges)}", *changes])


def suite_of(*styles: str | None) -> Suite:
    texts = [SuiteText(n, " ".join(WORDS), "en", None, label=s) for n, s in enumerate(styles)]
    return Suite("s", texts, [], Sampling(temperature=1.0, max_speech_tokens=37))


def speech(waveform: np.ndarray) -> SynthesisedSpeech:
    return SynthesisedSpeech(" ".join(WORDS), [0], True, waveform.astype(np.float32), 16_000)


@pytest.fixture(scope="module")
def spoken() -> list[SynthesisedSpeech]:
    """The words in each style."""
    codec = TinyCodec.load(str(TINY / "codec"))
    return [speech(waveform) for waveform in codec.decode([say(WORDS, style) for style in STYLES])]


def heard(
    listener: StyleListener, speeches: Sequence[SynthesisedSpeech], asked: Sequence[str | None]
) -> list[tuple[str | None, bool | None] | None]:
    verdicts = listener.of(speeches, suite_of(*asked).texts, asked)
    return [verdict and (verdict.heard, verdict.as_asked) for verdict in verdicts]


def test_the_demonstrations_judges_hear_its_styles(spoken: list[SynthesisedSpeech]) -> None:
    run = load_run(RUN)
    listeners = style_listeners(run, suite_of(*STYLES), "cpu")
    assert [one.name for one in listeners] == ["pauses", "classifier"]
    for one in listeners:
        assert heard(one, spoken, STYLES) == [("fluent", True), ("halting", True)]
        assert heard(one, spoken, STYLES[::-1]) == [("fluent", False), ("halting", False)]


def test_a_text_without_a_style_has_no_verdict_and_silence_has_none(
    spoken: list[SynthesisedSpeech],
) -> None:
    [pauses, _] = style_listeners(load_run(RUN), suite_of(*STYLES), "cpu")
    silent = speech(np.zeros(0))
    assert heard(pauses, [spoken[0], silent], [None, "fluent"]) == [None, (None, False)]


def test_a_suite_without_styles_has_no_listeners() -> None:
    assert style_listeners(load_run(RUN), suite_of(None, None), "cpu") == []


def test_one_utterance_that_fails_loses_no_other(
    spoken: list[SynthesisedSpeech], monkeypatch: pytest.MonkeyPatch
) -> None:
    [pauses, _] = style_listeners(load_run(RUN), suite_of(*STYLES), "cpu")
    whole = pauses._hear

    def fails(samples: Sequence[SpeechSample]) -> list[str | None]:
        if any(sample.label == "halting" for sample in samples):
            raise RuntimeError("out of memory")
        return whole(samples)

    monkeypatch.setattr(pauses, "_hear", fails)
    assert heard(pauses, spoken, STYLES) == [("fluent", True), (None, None)]


@pytest.mark.parametrize(("hz", "style"), [(110, "low"), (220, "high"), (150, None)])
def test_pitch_is_its_median(hz: float, style: str | None) -> None:
    ranges = {"low": [None, 140], "high": [160, None]}
    run = run_with({"name": "f0", "type": "measure", "measure": "pitch", "styles": ranges})
    [listener] = style_listeners(run, suite_of("low", "high"), "cpu")
    phase = 2 * np.pi * hz * np.arange(16_000) / 16_000
    voice = 0.2 * np.array([np.sin(k * phase) / k for k in range(1, 8)]).sum(axis=0)
    assert heard(listener, [speech(voice)], ["low"]) == [(style, style == "low")]


def test_clap_hears_the_nearest_of_the_styles(
    spoken: list[SynthesisedSpeech], tmp_path: Path
) -> None:
    folder = str(save_tiny_clap(tmp_path))
    styles = ["a man whispering", "a woman shouting", "speech"]
    run = run_with({"name": "clap", "type": "clap", "model": folder})
    [listener] = style_listeners(run, suite_of(*styles), "cpu")
    scorer = StyleScorer(Style(model=folder), "cpu", 2)
    cosines = [
        scorer.score([SpeechSample(spoken[0].waveform, 16_000, "", "en", style=s)])[0]["style"]
        for s in styles
    ]
    nearest = styles[int(np.argmax(cosines))]
    assert heard(listener, [spoken[0]] * 3, styles) == [(nearest, s == nearest) for s in styles]


@pytest.mark.parametrize(
    ("judge", "asked", "said"),
    [
        (
            {"type": "measure", "measure": "rate", "styles": {"slow": [None, 9]}},
            ["slow", "fast"],
            r"has ranges for 'slow', and none for 'fast'; add it",
        ),
        (
            {"type": "classifier", "model": str(HERE / "classifier"), "used_in_reward": True},
            ["fluent", "sad"],
            r"judge of styles 'j': no label 'sad' in .*; it has fluent, halting",
        ),
        ({"type": "clap", "model": "m"}, ["sad"], 'have one alone, "sad"; give texts of several'),
    ],
)
def test_a_style_that_a_judge_cannot_hear(
    judge: dict[str, object], asked: list[str], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        style_listeners(run_with({"name": "j", **judge}), suite_of(*asked), "cpu")


@pytest.mark.parametrize(
    ("judges", "said"),
    [
        (
            [{"type": "classifier", "model": str(HERE / "classifier")}],
            "is what gives the reward",
        ),
        (
            [
                {
                    "type": "measure",
                    "measure": "rate",
                    "styles": {"slow": [None, 9], "fast": [8, None]},
                }
            ],
            "the ranges of 'slow' and 'fast' overlap",
        ),
        (
            [{"type": "measure", "measure": "rate", "styles": {"slow": [3, 2]}}],
            "range of 'slow' holds nothing: 3 is not below 2",
        ),
        ([{"type": "clap", "model": "m"}] * 2, "two of eval.styles have the name 'j'"),
    ],
)
def test_a_configuration_that_is_refused(judges: list[dict[str, object]], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        run_with(*({"name": "j", **judge} for judge in judges))


def test_a_copy_of_the_rewards_classifier_is_refused(tmp_path: Path) -> None:
    for file in (HERE / "classifier").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    run = run_with({"name": "copy", "type": "classifier", "model": str(tmp_path)})
    with pytest.raises(BadInput, match=r"judge 'copy' .* has the weights of the model that gives"):
        check_independent(run, [])


def test_an_evaluation_tells_each_styles_share(tmp_path: Path) -> None:
    run = load_run(RUN, ["eval.max_texts=8", "eval.batch_size=8"])
    prepare(run, tmp_path)
    suite = held_out_suite(run, tmp_path / "held_out.parquet")
    found = evaluate(run, run.model, suite, tmp_path / "eval").modes["sampled"].conditions
    assert [(one.kind, one.asked) for one in found] == [("style", style) for style in STYLES]
    assert sum(one.texts for one in found) == 8
    for one in found:
        assert one.cer is not None and one.as_asked.keys() == {"pauses", "classifier"}

    hidden = load_run(RUN, ["eval.max_texts=8", "prompt.style_from=null"])
    other = load_run(RUN, ["eval.max_texts=8", "eval.styles=[]"])
    limits = ["eval.styles[0].styles.fluent=[null,0.2]", "eval.styles[0].styles.halting=[0.2,null]"]
    stricter = load_run(RUN, ["eval.max_texts=8", *limits])
    model = {"type": "classifier", "model": str(HERE / "classifier"), "used_in_reward": True}
    classified = run_with({"name": "c", **model}, changes=["eval.max_texts=8"])
    compared = (run, hidden, other, stricter, classified)
    assert len({protocol_of(one, suite) for one in compared}) == len(compared)


def test_a_run_with_judges_of_styles_is_resumed() -> None:
    run = load_run(RUN)
    assert without_known_revisions(run, run) == run
    assert not differences(run, load_run(RUN, ["eval.styles=[]"])), "they may change on resuming"
