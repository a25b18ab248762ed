from collections.abc import Sequence

import numpy as np
import pytest

from ttsrl.audio.waveform import level_dbfs
from ttsrl.reward.components import Cer, Nll
from ttsrl.reward.config import Gates
from ttsrl.reward.gates import (
    REASONS,
    VoiceFound,
    check_duration,
    check_floors,
    check_level,
    check_repetition,
    check_speech,
    check_tokens,
    check_transcript,
    check_words,
)
from ttsrl.reward.repetition import compression_ratio, longest_repetition, repeated_chars
from ttsrl.text.normalise import cer, normalise
from ttsrl.wire import Gated

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


@pytest.mark.parametrize(
    ("sure_s", "faint_s", "no_speech", "gated"),
    [
        (0.15, 0.15, 0.9, False),  # the detector is sure: Whisper cannot gate alone
        (0.14, 0.15, 0.6, False),  # a whisper, which Whisper hears, too
        (0.14, 0.15, 0.61, True),
        (0.14, 0.15, None, True),  # no Whisper listens
        (0.14, 0.14, 0.0, True),  # Whisper alone cannot let pass
        (0.0, 0.0, 0.0, True),
    ],
)
def test_sound_without_a_voice_is_gated(
    sure_s: float, faint_s: float, no_speech: float | None, gated: bool
) -> None:
    outcome = check_speech(VoiceFound(sure_s, faint_s), no_speech, 3, 2.0, GATES)
    assert (outcome is not None) == gated
    if outcome:
        assert (outcome.reason, outcome.duration_s) == ("no_speech", 2.0)
        assert f"{sure_s:.2f} s of speech found" in outcome.detail


def test_a_long_text_needs_more_speech() -> None:
    assert check_speech(VoiceFound(0.5, 0.5), 0.0, 50, 9.0, GATES) is None
    assert check_speech(VoiceFound(0.5, 0.5), 0.0, 51, 9.0, GATES) is not None


ORDINARY = ["say", "something", "new", "in", "every", "word"]


def repeats(tokens: list[int], units: Sequence[str] = ORDINARY, tokens_per_s: float = 25.0) -> bool:
    gated = check_repetition(tokens, tokens_per_s, 1, units, GATES)
    assert gated is None or gated.reason == "repeated_tokens"
    return gated is not None


def test_the_window_counts_frames_where_a_frame_has_several_tokens() -> None:
    rate = 7 / 0.0853  # of SNAC: 12 frames per second
    frames = [[4096 * place + code for place in range(7)] for code in range(11)]

    def gate(cycle: int) -> Gated | None:
        tokens = [token for n in range(200) for token in frames[n % cycle]]
        return check_repetition(tokens, rate, 7, ORDINARY, GATES)

    assert gate(11) is None  # a frame comes again after the window
    found = gate(10)
    assert found is not None
    assert "every token is one of the 70 before it" in found.detail


def test_tokens_that_repeat_for_long_are_gated() -> None:
    speech = list(range(200))
    assert not repeats(speech)
    assert not repeats([*speech, *[7] * 125])  # a pause of five seconds
    assert repeats([*speech, *[7] * 127])
    assert repeats([*speech, *[1, 2, 3, 4, 5, 6, 7, 8, 9, 10] * 14])  # a cycle of the window
    assert not repeats([*speech, *range(11), *range(11), *range(11)] * 4)  # longer than the window
    assert repeats([3] * 20)  # less than five seconds, and nothing else
    assert not repeats([*range(5), *[3] * 20])
    assert not repeats([3])


def test_a_text_that_repeats_itself_may_be_spoken() -> None:
    stuck = [1, 2, 3] * 50
    for units in (["no"] * 12, list("哈哈哈哈哈哈哈"), ["la", "di", "da"] * 4):
        assert repeats(stuck), units
        assert not repeats(stuck, units), units
    assert repeats(stuck, ["the", "cat", "and", "the", "dog", "and", "the", "bird"])
    assert repeats([1, 2, 3] * 200, ["no"] * 4)


TEXT = (
    "he was not an ill disposed young man unless to be rather cold hearted and rather selfish "
    "is to be ill disposed"
)


def gate_of_words(transcript: str, text: str, language: str = "en") -> Gated | None:
    """As the pipeline calls it: with both texts normalised, and their CER."""
    heard, wanted = normalise(transcript, language), normalise(text, language)
    return check_words(heard, wanted, cer(text, transcript, language), 2.0, GATES)


def test_a_transcript_that_loops_is_gated_unless_its_text_does() -> None:
    assert gate_of_words(TEXT, TEXT) is None
    looped = " ".join([TEXT, *["to be ill disposed"] * 20])
    gated = gate_of_words(looped, TEXT)
    assert gated is not None and gated.reason == "repeated_words" and gated.duration_s == 2.0
    laugh = " ".join(["ha"] * 60)
    assert gate_of_words(laugh, TEXT) is not None
    assert gate_of_words(laugh, " ".join(["ha"] * 55)) is None
    assert gate_of_words("哈" * 60, "哈" * 55, "zh") is None
    assert gate_of_words("no", "no") is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("今天天气很好，我们去公园散步吧。", "zh"),
        ("明日は雨が降るでしょう。", "ja"),
        ("오늘은 날씨가 좋습니다.", "ko"),
        ("วันนี้อากาศดี", "th"),
        ("वह घर जा रहा है।", "hi"),
        ("Сегодня хорошая погода.", "ru"),
    ],
)
def test_loops_are_gated_in_every_script(text: str, language: str) -> None:
    assert gate_of_words(text, text, language) is None
    assert gate_of_words(text * 2, text, language) is None
    assert gate_of_words(text * 6, text, language) is not None
    assert gate_of_words(text + text[:2] * 30, text, language) is not None


@pytest.mark.parametrize(
    ("text", "transcript"),
    [
        ("7777777777", " ".join(["seven"] * 10)),
        ("7777777777", " ".join(["seven"] * 11)),
        ("WWW WWW WWW WWW", "www www www www"),
        ("$5, $5, $5, $5, $5, $5, $5, $5, $5", ", ".join(["five dollars"] * 9)),
        ("ha ha ha ha ha ha ha ha ha ha ha ha", "Ha" + ", ha" * 12),
        ("no " * 40, "No, " * 40),
        ("one two three four five six seven eight nine ten " * 4, "1 2 3 4 5 6 7 8 9 10 " * 4),
    ],
)
def test_what_a_text_repeats_itself_is_no_loop(text: str, transcript: str) -> None:
    assert gate_of_words(transcript, text) is None


def test_a_loop_has_one_and_a_half_times_the_ratio_of_its_text() -> None:
    text, more, much_more = (" ".join(["ha"] * n) for n in (12, 16, 24))
    wanted = compression_ratio(text)
    assert wanted > GATES.max_compression_ratio
    assert 1.2 * wanted < compression_ratio(more) < 1.5 * wanted < compression_ratio(much_more)
    assert check_words(more, text, 1.0, 2.0, GATES) is None
    assert check_words(much_more, text, 1.0, 2.0, GATES) is not None
    assert check_words(much_more, text, 0.5, 2.0, GATES) is not None
    assert check_words(much_more, text, 0.49, 2.0, GATES) is None


def test_a_token_is_repeated_where_it_stands_within_the_window() -> None:
    assert longest_repetition([*range(10)] * 5, window=10) == 40
    assert longest_repetition([*range(11)] * 5, window=10) == 0
    assert longest_repetition([*range(5)] * 5, window=10, times=2) == 15


def test_a_text_repeats_itself_within_three_words() -> None:
    assert repeated_chars(["la", "di", "da", "la", "di", "da"]) == 6
    assert (
        repeated_chars(["la", "di", "da", "dum", "la", "di", "da", "dum", "la", "di", "da", "dum"])
        == 0
    )
    assert repeated_chars(["knock", "knock", "who", "is", "there"]) == 0
    assert repeated_chars(["no", "no", "no", "who"]) == 0
    assert repeated_chars(["no", "no", "no", "no", "who"]) == 6


def test_compression_ratio_is_openai_whisper_s() -> None:
    whisper = pytest.importorskip("whisper.utils", reason="openai-whisper is not installed")
    for text in (TEXT, "ha " * 40, "哈" * 60, "no"):
        assert compression_ratio(text) == whisper.compression_ratio(text)


def test_gates_name_only_reasons_of_the_list() -> None:
    assert len(set(REASONS)) == len(REASONS)
    assert {"no_speech", "repeated_tokens", "repeated_words"} <= set(REASONS)
