"""The example voice is understood by three recognisers, of which one has nothing in common with the
others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from examples.voice.corpus import HERE, held_out_texts
from examples.voice.hear import Hearing, moonshine, pocketsphinx, speak, whisper
from ttsrl.synthesis.synthesiser import SynthesisedSpeech, Synthesiser
from ttsrl.text.normalise import cer

TEXTS = 16


@pytest.fixture(scope="module")
def said() -> list[SynthesisedSpeech]:
    voice = Synthesiser(str(HERE / "policy"), str(HERE / "codec"), "llasa")
    return speak(voice, held_out_texts()[:TEXTS], temperature=0.0)


def check(said: list[SynthesisedSpeech], hears: Hearing, most: float) -> None:
    """Each text is heard in its own speech with few errors, and not in the next one's."""
    heard = hears([one.waveform for one in said])
    pairs = zip(said, heard, heard[1:] + heard[:1], strict=True)
    rates = [(cer(one.text, own, "en"), cer(one.text, other, "en")) for one, own, other in pairs]
    right, wrong = np.mean(rates, axis=0)
    assert right < most < 0.6 < wrong


def test_sentences_that_no_training_read_end_by_themselves(said: list[SynthesisedSpeech]) -> None:
    assert [one.text for one in said if not one.finished] == []
    assert all(1.0 < one.duration_s < 12.0 for one in said)


def test_whisper_base_understands_them(
    said: list[SynthesisedSpeech], ctranslate2_base: Path
) -> None:
    check(said, whisper(str(ctranslate2_base)), most=0.2)


def test_moonshine_understands_them(said: list[SynthesisedSpeech]) -> None:
    check(said, moonshine(), most=0.25)


def test_pocketsphinx_understands_them(said: list[SynthesisedSpeech]) -> None:
    pytest.importorskip("pocketsphinx")
    check(said, pocketsphinx(), most=0.4)
