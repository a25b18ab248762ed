"""Rate, prosody, clean signal and DNSMOS on a voice whose properties are known."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from ttsrl.audio.waveform import Waveform
from ttsrl.reward.components import ALPHABETIC_RATE, Clicks, PitchSpread, Rate, band, utilities_of
from ttsrl.reward.config import RewardConfig
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.scorers.clean_signal import CleanSignalScorer, clicks_per_s, clipping
from ttsrl.scorers.dnsmos import WINDOW, DnsmosScorer, windows_of
from ttsrl.scorers.prosody import ProsodyScorer, pause_share, prosody
from ttsrl.scorers.rate import RateScorer
from ttsrl.scorers.reference import RATE_HZ, check_scorer, voice
from ttsrl.scorers.registry import SCORER_OF, load_scorers


def speech(waveform: np.ndarray, rate_hz: int = RATE_HZ, **fields: Any) -> SpeechSample:
    said: dict[str, Any] = {"text": "hello there", "language": "en"} | fields
    return SpeechSample(waveform, rate_hz, **said)


@pytest.fixture(scope="module")
def prosody_scorer() -> ProsodyScorer:
    return ProsodyScorer()


@pytest.fixture(scope="module")
def dnsmos() -> DnsmosScorer:
    return DnsmosScorer("cpu", batch_size=2)


def noisy(waveform: np.ndarray, snr_db: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(waveform))
    return (waveform + noise * np.sqrt((waveform**2).mean()) * 10 ** (-snr_db / 20)).astype("f")


def in_room(waveform: np.ndarray, t60_s: float) -> np.ndarray:
    t = np.arange(round(RATE_HZ * t60_s)) / RATE_HZ
    room = np.random.default_rng(0).standard_normal(len(t)) * 10 ** (-3 * t / t60_s)
    room[0] = 8.0
    return (0.5 * np.convolve(waveform, room / np.sqrt((room**2).sum()))).astype("f")


@pytest.mark.parametrize("make", [RateScorer, CleanSignalScorer, ProsodyScorer])
def test_values_are_the_same_alone_and_in_company(make: Callable[[], Scorer]) -> None:
    check_scorer("scorer", make())


def test_rate_counts_what_is_heard_of_the_text_a_second() -> None:
    long, short = np.zeros(RATE_HZ * 2, "f"), np.zeros(RATE_HZ, "f")
    rates = RateScorer().score([speech(long), speech(short), speech(long, text="Hello,   THERE!")])
    assert [r["rate"] for r in rates] == [5.5, 11.0, 5.5]
    (chinese,) = RateScorer().score([speech(long, text="你好 世界。", language="zh")])
    assert chinese["rate"] == 2.0


@pytest.mark.parametrize(
    ("language", "rate", "expected"),
    [
        ("en", 14.7, 1.0),
        ("en", 24.0, 1.0),
        ("en", 30.0, math.exp(-4)),
        ("en", 3.0, math.exp(-4)),
        ("zh", 14.7, math.exp(-((6.7 / 3) ** 2))),
        ("zh", 4.0, 1.0),
    ],
)
def test_a_rate_is_right_within_its_language_s_range(
    language: str, rate: float, expected: float
) -> None:
    utilities = utilities_of([Rate()], {"cer": 0.0, "rate": rate}, language)
    assert utilities["rate"] == pytest.approx(expected)
    assert Rate(low=rate, high=rate).utility(rate, language) == 1
    assert Rate(high=29.0).utility(29.0, "en") == 1 > Rate(high=29.0).utility(8.0, "en")
    assert ALPHABETIC_RATE[0] < 1 / 0.068 < ALPHABETIC_RATE[1]


@pytest.mark.parametrize("raw", [1.5, 3.0, 6.0])
def test_a_band_has_utility_1_within_and_falls_to_both_sides(raw: float) -> None:
    component = PitchSpread()
    assert component.utility(raw) == 1
    assert band(0.5, 1.5, 6.0, 1.0) == band(7.0, 1.5, 6.0, 1.0) == pytest.approx(math.exp(-1))
    assert component.utility(0.0) < 0.2


@pytest.mark.parametrize("swing", [1.0, 3.0, 5.0])
@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
def test_pitch_spread_is_the_sine_s_own(
    prosody_scorer: ProsodyScorer, swing: float, rate_hz: int
) -> None:
    clip = voice(4.8, rate_hz, swing_semitones=swing)
    (found,) = prosody_scorer.score([speech(clip, rate_hz)])
    # Of a sine: 16th and 84th percentile lie at sin(0.34 pi), that is 0.876 of its swing.
    assert found["pitch_spread"] == pytest.approx(0.876 * swing, rel=0.08)
    assert found["voiced_share"] > 0.85


def test_a_monotone_has_no_pitch_spread_and_noise_no_voice(prosody_scorer: ProsodyScorer) -> None:
    hiss = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ * 2).astype("f")
    flat, noise, silence = prosody_scorer.score(
        [speech(voice(2.0, swing_semitones=0.0)), speech(hiss), speech(np.zeros(RATE_HZ, "f"))]
    )
    assert flat["pitch_spread"] < 0.1
    assert noise["voiced_share"] < 0.1
    assert silence["voiced_share"] == 0 == silence["pitch_spread"]


def test_pauses_are_gaps_of_a_word_s_length_within_the_speech(
    prosody_scorer: ProsodyScorer,
) -> None:
    words, gap = voice(1.0), np.zeros(RATE_HZ // 2, "f")
    fluent, halting = prosody_scorer.score(
        [
            speech(np.concatenate([gap, words, words, gap])),
            speech(np.concatenate([words, gap, words])),
        ]
    )
    assert fluent["pauses"] == 0
    assert halting["pauses"] == pytest.approx(0.5 / 2.5, abs=0.03)
    silent = np.array([False] * 10 + [True] * 9 + [False] * 1)
    assert pause_share(silent, 0.016) == 0  # 0.144 s
    assert pause_share(silent, 0.017) == 9 / 20


def test_energy_spread_is_in_decibels() -> None:
    level_db = np.repeat([-20.0, -32.0], 50)
    found = prosody(np.full(100, 120.0), np.ones(100, bool), level_db, 0.016)
    assert found["energy_spread"] == 6.0


def test_noise_clipping_and_rooms_are_told_apart() -> None:
    clean = voice(4.0)

    def measure(waveform: Waveform) -> dict[str, float]:
        return CleanSignalScorer().score([speech(waveform)])[0]

    snrs = [measure(noisy(clean, db))["snr"] for db in (0, 10, 20, 30)]
    assert np.diff(snrs) == pytest.approx([10, 10, 10], abs=2)
    rooms = [measure(in_room(clean, t60_s))["reverb"] for t60_s in (0.1, 0.2, 0.4, 0.8)]
    assert rooms == sorted(rooms)
    assert rooms[0] < 0.25 < 0.4 < rooms[2] < rooms[3] < 1.0
    assert measure(clean)["clipping"] == 0
    assert measure(np.clip(8 * clean, -1, 1))["clipping"] > 0.005
    assert clipping(np.array([0.0, 1.0, 0.0, -1.0, -1.0, 0.0], "f")) == pytest.approx(2 / 6)


@pytest.mark.parametrize("clicks", [0, 1, 7])
def test_clicks_are_counted_and_what_belongs_to_speech_is_none(clicks: int) -> None:
    white = np.random.default_rng(0).standard_normal(2 * RATE_HZ).astype(np.float32) * np.float32(
        1e-3
    )
    for clean in (voice(2.0) + white, white, np.zeros_like(white), white[:1]):
        degraded = clean.copy()
        if len(clean) > 1:
            degraded[np.linspace(3_001, 28_001, clicks).astype(int)] += 0.5
            assert clicks_per_s(degraded, RATE_HZ) == clicks / 2
    assert Clicks().utility(0) == 1 and Clicks().utility(12) < 0.1


def test_dnsmos_prefers_the_cleaner_signal_alone_and_in_a_batch(dnsmos: DnsmosScorer) -> None:
    clean = voice(3.1)
    clips = [clean, noisy(clean, 10)]
    together = dnsmos.score([speech(clip) for clip in clips])
    alone = [dnsmos.score([speech(clip)])[0] for clip in clips]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
        assert all(1 <= value <= 5 for value in one.values())
    assert together[0]["dnsmos"] > together[1]["dnsmos"] + 0.3


def test_dnsmos_gives_microsoft_s_own_values(dnsmos: DnsmosScorer) -> None:
    """Their window loop and polynomials, written out, over the network as published."""
    clip = voice(5.2)
    spec = importlib.util.find_spec("speechmos")
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent / "dnsmos_models"
    session = onnxruntime.InferenceSession(
        str(folder / "sig_bak_ovr.onnx"), providers=["CPUExecutionProvider"]
    )
    doubled = np.concatenate([clip, clip])
    scores: Any = session.run(None, {"input_1": doubled[None, :WINDOW]})
    _, _, overall = scores[0][0]
    expected = -0.06766283 * overall**2 + 1.11546468 * overall + 0.04602535
    assert dnsmos.score([speech(clip)])[0]["dnsmos"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("seconds", "windows"), [(5, 1), (9.01, 1), (8, 7), (12, 3), (3, 3)])
def test_dnsmos_hears_a_window_each_second(seconds: float, windows: int) -> None:
    found = windows_of(np.ones(round(seconds * RATE_HZ), "f"))
    assert [len(w) for w in found] == [WINDOW] * windows


def test_a_scorer_is_loaded_once_for_all_its_components() -> None:
    components = [{"type": t} for t in ("pauses", "cer", "pitch_spread", "snr", "reverb", "rate")]
    reward = RewardConfig.model_validate({"whisper": {"model": "w"}, "components": components})
    assert list(load_scorers(reward)) == ["voice_activity", "prosody", "clean_signal", "rate"]
    assert {SCORER_OF[c.type] for c in reward.components if c.type in SCORER_OF} == {
        "whisper",
        "prosody",
        "clean_signal",
    }
