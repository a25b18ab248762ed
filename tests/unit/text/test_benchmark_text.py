"""Seed-TTS-eval's word error rate: values that its own functions give (zhon, zhconv, jiwer)."""

import warnings

import pytest

from ttsrl.errors import BadInput
from ttsrl.text.benchmark_wer import benchmark_wer, simplified, words


@pytest.mark.parametrize(
    ("language", "reference", "transcript", "expected"),
    [
        # English: case and punctuation do not count, numbers and apostrophes do.
        (
            "en",
            "Get the trust fund to the bank early.",
            " get the trust fund, to the bank early",
            0,
        ),
        ("en", "It's a well-known fact.", "its a well known fact", 3 / 4),
        ("en", "We don't know.", "we don't know", 0),
        ("en", "We don’t know.", "we don't know", 1 / 3),  # U+2019 is punctuation
        ("en", "He paid $25 in 1984.", "He paid twenty-five dollars in 1984", 2 / 5),
        ("en", "Dr. Smith - they say - left…", "dr smith they say left", 0),
        ("en", "one two", "one two three four five", 3 / 2),
        ("en", "one two", "", 1),
        # Mandarin: a word is a character, spaces do not count, the transcript is simplified.
        ("zh", "今天天气很好，我们去公园吧！", "今天 天气很好我们去公园吧", 0),
        ("zh", "他花了25元", "他花了二十五元", 3 / 6),
        ("zh", "后来他买了软件。", "後來他買了软件", 0),
        ("zh", "後來", "后来", 1),  # the text itself is not
        ("zh", "我爱NLP技术", "我爱nlp技术", 3 / 7),  # letters are characters, and case counts
        ("zh", "我们用Python 3.11写代码", "我们用Python311写代码", 0),
        ("zh", "《红楼梦》——“好了歌”", "红楼梦好了哥", 1 / 6),
        # CV3-Eval: Japanese and Korean by character too, other languages by word.
        ("ja", "これは、ペンです。", "これはペンでした", 2 / 7),
        ("ko", "안녕 하세요!", "안녕하세요", 0),
        ("de", "Größe zählt, oder?", "größe zählt oder", 0),
    ],
)
def test_error_rates_are_the_official_ones(
    language: str, reference: str, transcript: str, expected: int
) -> None:
    assert benchmark_wer(reference, transcript, language) == pytest.approx(expected, abs=1e-12)


def test_what_remains_of_a_text() -> None:
    assert words("“Hello,”  he said; it's 5%!", "en") == "hello he said it's 5"
    assert words("你好，World！", "zh") == "你 好 W o r l d"
    with pytest.raises(BadInput, match="punctuation only"):
        benchmark_wer("……！", "好", "zh")


def test_opencc_simplifies_as_zhconv_does_but_for_ten_characters_of_gb_2312() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks pkg_resources, which warns
        import zhconv
    rows, columns = range(0xB0, 0xF8), range(0xA1, 0xFF)
    encoded = (bytes([row, column]) for row in rows for column in columns)
    characters = [c for b in encoded if (c := b.decode("gb2312", "ignore"))]
    assert len(characters) == 6763
    differing = [c for c in characters if simplified(c) != zhconv.convert(c, "zh-cn")]
    assert len(differing) == 10
