"""What Whisper says before any text: whether somebody speaks, and in which language."""

import json
import shutil
from pathlib import Path
from typing import Literal

import pytest
import torch
from transformers import WhisperForConditionalGeneration

from support.paths import TINY
from support.whisper_engine import features
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.whisper.scorer import WhisperScorer

RATE_HZ = 16_000


@pytest.mark.parametrize("mode", ["correct", "channel-io", "deep-unlearning"])
@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_no_speech_and_languages_are_those_after_the_start_token(
    odd_whisper: Path,
    noises: list[Waveform],
    engine: Literal["torch", "ctranslate2"],
    mode: Literal["correct", "channel-io", "deep-unlearning"],
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper), engine=engine, mode=mode))
    raws = scorer.score(noises, RATE_HZ, ["one two"] * 5, ["de"] * 5)
    model = WhisperForConditionalGeneration.from_pretrained(odd_whisper, dtype=torch.float64).eval()
    vocabulary = scorer.tokens.vocabulary
    languages = {code: vocabulary[f"<|{code}|>"] for code in ("en", "de")}
    for waveform, raw in zip(noises, raws, strict=True):
        with torch.no_grad():
            logits = model(
                features(odd_whisper, [waveform]).double(),
                decoder_input_ids=torch.tensor([[vocabulary["<|startoftranscript|>"]]]),
            ).logits[0, 0]
        no_speech = logits.softmax(-1)[vocabulary["<|nospeech|>"]].item()
        assert raw.no_speech == pytest.approx(no_speech, rel=1e-4)
        expected = logits[list(languages.values())].softmax(-1).tolist()
        assert raw.languages == pytest.approx(dict(zip(languages, expected, strict=True)), abs=1e-5)
    assert len({raw.no_speech for raw in raws}) == 5
    assert raws[0].values["no_speech"] == raws[0].no_speech


def test_openings_do_not_depend_on_the_batch(odd_whisper: Path, noises: list[Waveform]) -> None:
    config = WhisperConfig(model=str(odd_whisper))
    arguments = noises, RATE_HZ, ["one two", "red", "six", "two", "one"], ["en"] * 5
    together = WhisperScorer(config).score(*arguments)
    alone = WhisperScorer(config, batch_size=1).score(*arguments)
    for one, other in zip(together, alone, strict=True):
        assert one.no_speech == pytest.approx(other.no_speech, rel=1e-4)
        assert one.languages == pytest.approx(other.languages, abs=1e-5)


@pytest.fixture
def english_only(tmp_path: Path) -> Path:
    """The tiny Whisper as a `.en` model: the language's token is there, and means nothing."""
    shutil.copytree(TINY / "whisper", tmp_path, dirs_exist_ok=True)
    file = tmp_path / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"is_multilingual": False}))
    return tmp_path


def test_an_english_only_whisper_tells_no_languages(
    english_only: Path, noises: list[Waveform]
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(english_only)))
    (raw,) = scorer.score(noises[:1], RATE_HZ, ["one"], ["en"])
    assert raw.languages == {}
    assert 0 < raw.no_speech < 1
    with pytest.raises(BadInput, match=r"'language' .* English-only; use a multilingual one"):
        scorer.check_languages(None)


def test_a_wanted_language_is_one_that_whisper_knows(odd_whisper: Path) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(odd_whisper)))
    scorer.check_languages(["de", "en"])
    scorer.check_languages(None)
    with pytest.raises(BadInput, match=r"wants 'yue', which the Whisper at .* does not know"):
        scorer.check_languages(["en", "yue"])


def test_a_model_without_a_token_for_no_speech_is_refused(tmp_path: Path) -> None:
    shutil.copytree(TINY / "whisper", tmp_path, dirs_exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text.replace("<|nospeech|>", "<|other|>"))
    with pytest.raises(BadInput, match=r"its tokenizer has no token <\|nospeech\|>; copy"):
        WhisperScorer(WhisperConfig(model=str(tmp_path)))
