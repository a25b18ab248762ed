"""A text in Whisper's spelling: the same words, however they were typed."""

import pytest

from ttsrl.scorers.whisper.spelling import bare, respelled
from ttsrl.text.normalise import cer

RIGHT = [
    # text, transcript, language
    ("he was not an ill disposed young man", "He was not an ill-disposed young man.", "en"),
    ("and mister john dashwood had then", "And Mr. John Dashwood had then...", "en"),
    ("IT'S DONE", "It's done!", "en"),
    ("it is done", "It's done.", "en"),
    ("twenty one, dogs", "21 dogs.", "en"),
    ("Hello, world", "Hello world.", "en"),
    ("ich habe heute morgen brot gekauft", "Ich habe heute Morgen Brot gekauft.", "de"),
    ("今天天气很好我们去公园", "今天天气很好，我们去公园。", "zh"),
    ("我用iphone打电话", "我用iPhone打电话。", "zh"),
    ("오늘 날씨가 좋다", "오늘날씨가 좋다.", "ko"),
]


@pytest.mark.parametrize(("text", "transcript", "language"), RIGHT)
def test_what_was_heard_is_spelled_as_it_was_heard(
    text: str, transcript: str, language: str
) -> None:
    for typed in (text, text.upper(), f"{text}!", bare(text, language), transcript):
        assert respelled(typed, transcript, language) == transcript


@pytest.mark.parametrize("picture", ["😀", "❤️", "👩‍🚀", "👍🏽", "♪", "→"])
def test_pictures_are_not_measured(picture: str) -> None:
    """The likelihood of a text with emoji, which are not said, is that of the text without."""
    text, heard = "he was an ill man", "He was an old man."
    with_pictures = f"{picture} he was{picture} an ill {picture}{picture} man {picture}"
    assert bare(with_pictures, "en") == text
    assert respelled(with_pictures, heard, "en") == respelled(text, heard, "en")
    assert bare(f"今天{picture}天气很好{picture}", "zh") == "今天天气很好"
    assert bare("20° + 5 € ™", "en") == "20° + 5 € ™"
    assert bare("می‌خواهم क्ष", "fa") == "می‌خواهم क्ष"


WRONG = [
    # text, transcript, what is measured
    ("he was an ill man", "He was an old man.", "He was an ill man."),
    ("john dashwood had leisure", "John Ashwood had leisure.", "John Dashwood had leisure."),
    ("he was not a young man", "He was a young.", "He was not a young man."),
    ("he was a man", "He was a man, a very good man.", "He was a man."),
    ("he was a man", "Um, he was a (music) man.", "he was a man."),
    ("he was a man", "", "he was a man"),
    ("he was a man", "Thank you.", "He was a man."),
    ("in 1984 he paid", "In 1985, he paid", "In 1984 he paid"),
    ("it costs 10 euros", "It costs 10.", "It costs 10 euros."),
    ("a b c", "c b a", "a b c"),
]


@pytest.mark.parametrize(("text", "transcript", "expected"), WRONG)
def test_no_word_is_left_out_added_or_exchanged(text: str, transcript: str, expected: str) -> None:
    result = respelled(text, transcript, "en")
    assert cer(text, result, "en") == 0
    assert result == expected


@pytest.mark.parametrize(
    ("text", "transcript", "language"), [*RIGHT, *((*w[:2], "en") for w in WRONG)]
)
def test_case_and_punctuation_of_the_text_change_nothing(
    text: str, transcript: str, language: str
) -> None:
    result = respelled(text, transcript, language)
    if (text, transcript, language) in RIGHT[:1]:
        assert bare(transcript, language) == bare(text, language)
    for typed in (text.upper(), text.title(), f"“{text}”", f"{text} ..."):
        assert respelled(typed, transcript, language) == result
        assert bare(typed, language) == bare(text, language)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It costs 3.50 €, or 5 %.", "it costs 3.50 € or 5 %"),
        ("-5 °C – cold!", "-5 °c cold"),
        ("“Don't”, she said - (twice).", "don't she said twice"),
        ("R&D @ home #1", "r&d @ home #1"),
    ],
)
def test_what_can_be_said_is_no_punctuation(text: str, expected: str) -> None:
    assert bare(text, "en") == expected
