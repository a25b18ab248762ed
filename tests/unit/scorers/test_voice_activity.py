"""Silero's detector as the gate `no_speech` asks it: the real network, sounds made here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from faster_whisper.vad import SileroVADModel

from examples.tiny.word_tokens import say
from support.music import sounds
from support.paths import TINY
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.registry import load_codec
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import RATE_HZ, vowels
from ttsrl.scorers.voice_activity import VoiceActivity

LEAST_S = 0.15


@pytest.fixture(scope="module")
def detector() -> VoiceActivity:
    return VoiceActivity(0.5, 0.1, threads=2)


def sample(waveform: Waveform, rate_hz: int = RATE_HZ) -> SpeechSample:
    return SpeechSample(waveform.astype(np.float32), rate_hz, "you", "en")


def times(duration_s: float) -> np.ndarray:
    return np.arange(round(duration_s * RATE_HZ)) / RATE_HZ


def tones(duration_s: float, *frequencies_hz: float) -> np.ndarray:
    """With overtones, at an even level."""
    t = times(duration_s)
    return sum(
        (0.1 / k * np.sin(2 * np.pi * f * k * t) for f in frequencies_hz for k in range(1, 5)),
        np.zeros_like(t),
    )


def white(duration_s: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(len(times(duration_s)))


def chords(duration_s: float) -> np.ndarray:
    """A chord every half second, struck and fading."""
    struck = [
        tones(0.5, *root * np.array([1, 1.26, 1.5])) * np.exp(-3 * times(0.5))
        for root in (220, 247, 196, 262)
    ]
    return np.resize(np.concatenate(struck), len(times(duration_s)))


SOUNDS: dict[str, Callable[[float], np.ndarray]] = {
    "hum": lambda s: tones(s, 50),
    "tone": lambda s: tones(s, 440),
    "low tone": lambda s: tones(s, 150),
    "chord": lambda s: tones(s, 220, 277, 330),
    "chords": chords,
    "white noise": white,
    "beeps": lambda s: tones(s, 1_000) * (np.sin(4 * np.pi * times(s)) > 0),
}


@pytest.mark.parametrize("duration_s", [0.5, 3.0, 10.0])
@pytest.mark.parametrize("sound", SOUNDS)
def test_in_sound_without_a_voice_there_is_no_speech(
    detector: VoiceActivity, sound: str, duration_s: float
) -> None:
    [found] = detector.score([sample(SOUNDS[sound](duration_s))])
    assert found["speech_s"] < LEAST_S and found["faint_speech_s"] < LEAST_S


def test_music_and_noises_of_everyday_life_are_no_speech(detector: VoiceActivity) -> None:
    """The faint frames of some are for Whisper to judge (tests/real/test_audit.py)."""
    made = sounds()
    found = detector.score([sample(waveform) for waveform in made.values()])
    taken = {name: f for name, f in zip(made, found, strict=True) if f["speech_s"] >= LEAST_S}
    assert len(made) > 30 and taken == {}


def test_the_tiny_stack_s_words_are_speech(detector: VoiceActivity) -> None:
    codec = load_codec(str(TINY / "codec"))
    texts = ["six dogs", "four red tigers run home", "black birds sing today", "jump"]
    waveforms = codec.decode([say(text.split()) for text in texts])
    for text, waveform in zip(texts, waveforms, strict=True):
        [found] = detector.score([sample(waveform, codec.sample_rate_hz)])
        assert found["speech_s"] >= 0.25, text


def test_soft_speech_and_speech_after_silence_is_found(detector: VoiceActivity) -> None:
    speech = vowels(1.0)
    padded = np.concatenate([np.zeros(3 * RATE_HZ, np.float32), speech])
    [plain, soft, late] = detector.score([sample(w) for w in (speech, speech * 0.003, padded)])
    assert soft == plain
    assert plain["speech_s"] > 0.9
    assert late["speech_s"] == pytest.approx(plain["speech_s"], abs=0.2)


def test_the_same_is_found_alone_and_in_company(detector: VoiceActivity) -> None:
    speeches = [sample(vowels(s, f)) for s, f in ((0.3, 90), (1.0, 120), (4.0, 220))]
    assert detector.score(speeches) == [detector.score([speech])[0] for speech in speeches]


def test_a_broken_detector_is_no_finding(
    detector: VoiceActivity, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(value: float) -> None:
        monkeypatch.setattr(
            SileroVADModel, "__call__", lambda self, w: np.full((len(w) // 512, 1), value)
        )

    answer(np.nan)
    [found] = detector.score([sample(vowels(1.0))])
    assert np.isnan(found["speech_s"]) and np.isnan(found["faint_speech_s"])
    with pytest.raises(RuntimeError, match="it would gate every rollout"):
        VoiceActivity(0.5, 0.1, threads=1)
    answer(0.0)
    with pytest.raises(RuntimeError, match=r"finds 0\.00 s of speech in 1\.5 s of vowels"):
        VoiceActivity(0.5, 0.1, threads=1)
