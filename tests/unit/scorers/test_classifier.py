"""The classifier: tiny random weights in the real formats, against transformers' own use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    Wav2Vec2ForSequenceClassification,
)

from support.tiny_classifiers import KINDS, LABELS, save_tiny_classifier
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.labels import labels_of
from ttsrl.reward.components import Classifier, Snr, Speaker, Style, utilities_of
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.classifier import ClassifierScorer
from ttsrl.scorers.reference import RATE_HZ, check_scorer, voice


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: save_tiny_classifier(tmp_path_factory.mktemp(kind), kind) for kind in KINDS}


def load(folder: Path, *labels: str) -> ClassifierScorer:
    return ClassifierScorer(Classifier(model=str(folder), labels=list(labels)), "cpu", 2)


def score(scorer: ClassifierScorer, clip: Waveform, label: str | None = None) -> float:
    speech = SpeechSample(clip, RATE_HZ, "any", "en", label=label)
    return scorer.score([speech])[0]["classifier"]


def logits(folder: Path, clip: Waveform) -> torch.Tensor:
    model: Any = AutoModelForAudioClassification.from_pretrained(folder).eval()
    features = AutoFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        inputs = features(clip, sampling_rate=RATE_HZ, return_tensors="pt")
        return model(**inputs).logits[0].double()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_probability_that_transformers_gives_the_label(
    kind: str, folders: dict[str, Path]
) -> None:
    clip, scorer = voice(1.2), load(folders[kind])
    expected = logits(folders[kind], clip).softmax(-1).tolist()
    assert [score(scorer, clip, label) for label in LABELS] == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_alone_and_in_company_however_long(
    kind: str, folders: dict[str, Path]
) -> None:
    scorer = load(folders[kind])
    check_scorer("classifier", scorer)
    clips = [voice(s, pitch_hz=f) for s, f in [(5.3, 140), (0.02, 100), (2.0, 200), (2.0, 90)]]
    speeches = [SpeechSample(clip, RATE_HZ, "any", "en", label="sad") for clip in clips]
    together = [values["classifier"] for values in scorer.score(speeches)]
    assert together == pytest.approx([score(scorer, c, "sad") for c in clips], abs=1e-5)
    assert len({round(value, 7) for value in together}) == len(clips)


def test_no_more_windows_than_asked_for_are_heard_at_once(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer, heard = load(folders["wav2vec2"], "sad"), list[int]()
    forward = Wav2Vec2ForSequenceClassification.forward

    def counted(self: Any, input_values: torch.Tensor, *given: Any, **named: Any) -> Any:
        heard.append(len(input_values))
        return forward(self, input_values, *given, **named)

    monkeypatch.setattr(Wav2Vec2ForSequenceClassification, "forward", counted)
    scorer.score([SpeechSample(voice(1.0), RATE_HZ, "any", "en")] * 5)
    assert heard == [2, 2, 1]


@pytest.mark.parametrize("kind", ["ast", "whisper"])
def test_what_is_longer_than_the_model_hears_is_heard_to_its_end(
    kind: str, folders: dict[str, Path]
) -> None:
    scorer, clip = load(folders[kind], "sad"), voice(3.0)
    other = clip.copy()
    other[-RATE_HZ // 2 :] = voice(0.5, pitch_hz=300)
    assert score(scorer, clip) != pytest.approx(score(scorer, other), abs=1e-7)


def test_several_wanted_labels_exclude_each_other_or_the_likeliest_counts(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    clip = voice(1.2)
    one = [score(load(folders["wav2vec2"], label), clip) for label in ("sad", "angry")]
    assert score(load(folders["wav2vec2"], "sad", "angry", "Sad"), clip) == pytest.approx(sum(one))
    several = save_tiny_classifier(tmp_path, problem_type="multi_label_classification")
    expected = logits(several, clip).sigmoid().tolist()
    assert [score(load(several, label), clip) for label in LABELS] == pytest.approx(expected)
    assert score(load(several, *LABELS), clip) == pytest.approx(max(expected))


def test_an_item_s_own_label_comes_before_the_component_s(folders: dict[str, Path]) -> None:
    scorer, clip = load(folders["wav2vec2"], "sad"), voice(1.2)
    assert score(scorer, clip) == score(scorer, clip, "SAD ") != score(scorer, clip, "happy")
    with pytest.raises(BadInput, match=r"names no label.*or set the component's 'labels'"):
        score(load(folders["wav2vec2"]), clip)


def test_an_unknown_label_is_refused_with_the_list(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = folders["wav2vec2"]
    with pytest.raises(
        BadInput, match=r"no label 'hapy'.*did you mean 'Happy'.*angry, Happy, neutral, sad$"
    ):
        load(folder, "hapy")
    with pytest.raises(BadInput, match="no label 'calm'"):
        score(load(folder), voice(1.0), "calm")
    twice = save_tiny_classifier(tmp_path, labels=["sad", "SAD", "glad"])
    assert labels_of(str(twice)).index("SAD") == 1
    with pytest.raises(BadInput, match="the label 'Sad' may be 'sad' or 'SAD'"):
        load(twice, "Sad")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problem_type": "regression"}, "gives numbers .*, not labels"),
        ({"id2label": {"0": "speech"}, "label2id": {"speech": 0}}, "fewer than two labels"),
        ({"id2label": {"0": "a", "1": "a", "2": "b", "3": "c"}}, "two labels of one name"),
        ({"id2label": None}, "fewer than two labels"),
    ],
)
def test_what_does_not_choose_between_labels_is_refused(
    folders: dict[str, Path], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    config = json.loads((folders["wav2vec2"] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(BadInput, match=message):
        labels_of(str(tmp_path))


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(BadInput, match=r"no config\.json that can be read"):
        labels_of(str(tmp_path))
    with pytest.raises(BadInput, match=r"no weights in .* it has notes\.txt"):
        load(tmp_path)
    whole = save_tiny_classifier(tmp_path / "whole")
    (whole / "preprocessor_config.json").unlink()
    with pytest.raises(BadInput, match=r"is not there: it has no preprocessor_config\.json"):
        load(whole)


def test_a_recogniser_without_the_head_is_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    model: Any = AutoModelForAudioClassification.from_pretrained(folders["wav2vec2"])
    model.wav2vec2.save_pretrained(tmp_path)
    AutoFeatureExtractor.from_pretrained(folders["wav2vec2"]).save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=r"lacks .* weights"):
        load(tmp_path)


def test_other_weights_or_labels_are_another_specification(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    before = dict(load(folders["wav2vec2"]).spec)
    assert dict(load(folders["wav2vec2"]).spec) == before
    assert dict(load(save_tiny_classifier(tmp_path, labels=["a", "b", "c", "d"])).spec) != before


def test_its_utility_is_the_probability_within_a_range_and_nothing_where_words_are_wrong() -> None:
    raw = {"cer": 0.1, "classifier": 0.3}
    assert utilities_of([Classifier(model="m")], raw, "en") == {"classifier": 0.3}
    ranged = Classifier(model="m", low=0.2, high=0.6)
    assert utilities_of([ranged], raw, "en") == {"classifier": pytest.approx(0.25)}
    assert utilities_of([ranged], raw | {"cer": 0.3}, "en") == {"classifier": 0.0}


@pytest.mark.parametrize("kind", [Style, Speaker, Classifier, Snr])
def test_a_range_that_is_none_is_refused(kind: Any) -> None:
    needed = {Speaker: {"voices": "v"}, Classifier: {"model": "m"}}.get(kind, {})
    with pytest.raises(ValidationError, match=r"low = 0\.7 is (not below|above) high = 0\.3"):
        kind(low=0.7, high=0.3, **needed)


def test_short_speech_is_heard(folders: dict[str, Path]) -> None:
    assert np.isfinite(score(load(folders["wav2vec2"], "sad"), np.ones(32, np.float32)))
