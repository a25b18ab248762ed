import numpy as np
import pytest

from ttsrl.audio.waveform import level_dbfs
from ttsrl.reward.components import Cer, Nll
from ttsrl.reward.config import Gates
from ttsrl.reward.gates import (
    REASONS,
    check_duration,
    check_floors,
    check_level,
    check_tokens,
    check_transcript,
)

GATES = Gates(min_level_dbfs=-50, min_s_per_char=0.01, max_s_per_char=0.5, slack_s=1)


@pytest.mark.parametrize(
    ("tokens", "finished", "reason"),
    [
        ([], True, "no_tokens"),
        ([], False, "no_tokens"),
        ([0, -1, 5], True, "token_outside_codebook"),
        ([0, 10], True, "token_outside_codebook"),
        ([0, 9], False, "no_end_token"),
        ([0, 9], True, None),
    ],
)
def test_tokens(tokens: list[int], finished: bool, reason: str | None) -> None:
    gated = check_tokens(tokens, finished, codebook_size=10)
    assert (gated and gated.reason) == reason
    assert gated is None or (gated.reason in REASONS and gated.reward == 0 and gated.detail)


@pytest.mark.parametrize(
    ("duration_s", "chars", "window_s", "reason"),
    [
        (0.09, 10, 30, "too_short"),
        (0.10, 10, 30, None),
        (6.00, 10, 30, None),
        (6.01, 10, 30, "too_long"),
        (3.01, 10, 3, "too_long"),  # within the rate, beyond what Whisper hears
    ],
)
def test_duration(duration_s: float, chars: int, window_s: int, reason: str | None) -> None:
    gated = check_duration(duration_s, chars, window_s, GATES)
    assert (gated and gated.reason) == reason
    assert gated is None or (gated.duration_s == duration_s and gated.reason in REASONS)


def tone(level_dbfs: float, duration_s: float, rate_hz: int = 16_000) -> np.ndarray:
    """A sine of the given RMS level."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    return (2**0.5 * 10 ** (level_dbfs / 20) * np.sin(2 * np.pi * 400 * t)).astype(np.float32)


@pytest.mark.parametrize("level", [-80.0, -50.5, -49.5, -3.0])
def test_level_is_rms_of_the_loudest_frame(level: float) -> None:
    waveform = np.concatenate([np.zeros(16_000, np.float32), tone(level, 0.1)])
    assert level_dbfs(waveform, 16_000) == pytest.approx(level, abs=0.01)
    gated = check_level(waveform, 16_000, GATES)
    assert (gated is not None) == (level < -50)
    assert gated is None or (gated.reason, gated.duration_s) == ("silence", 1.1)


@pytest.mark.parametrize("samples", [0, 1, 100, 16_000])
def test_digital_silence_of_any_length_is_silence(samples: int) -> None:
    gated = check_level(np.zeros(samples, np.float32), 16_000, GATES)
    assert gated is not None and gated.reason == "silence"


def test_a_click_is_silence_and_a_short_vowel_is_not() -> None:
    click = np.zeros(16_000, np.float32)
    click[8000] = 0.05
    assert check_level(click, 16_000, GATES) is not None
    vowel = np.zeros(16_000, np.float32)
    vowel[8000:8800] = tone(-40, 0.05)
    assert check_level(vowel, 16_000, GATES) is None


def test_speech_in_which_no_word_is_heard_is_gated() -> None:
    gated = check_transcript("", 1.5)
    assert gated is not None
    assert (gated.reason, gated.reward, gated.duration_s) == ("empty_transcript", 0, 1.5)
    assert check_transcript("a", 1.5) is None


@pytest.mark.parametrize(("floor", "gated"), [(0.0, False), (0.3, False), (0.4, True)])
def test_one_utility_below_its_floor_is_enough(floor: float, gated: bool) -> None:
    raw, utilities = {"cer": 0.0, "nll": 3.3}, {"cer": 1.0, "nll": 0.33}
    outcome = check_floors([Cer(floor=0.9), Nll(floor=floor)], raw, utilities, 1.5)
    assert (outcome is not None) == gated
    if outcome:
        assert outcome.reason == "below_floor" and outcome.reason in REASONS
        assert outcome.duration_s == 1.5
        assert "nll = 3.3" in outcome.detail and "0.4" in outcome.detail
