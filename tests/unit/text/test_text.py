import random

import pytest

from ttsrl.errors import BadInput
from ttsrl.text.languages import LANGUAGES
from ttsrl.text.normalise import cer, check_text, compared, normalise, pinyin_wer, wer


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Hello,   WORLD!", "hello world"),
        ("en", "Café\u0301 naïve", "cafe naive"),
        ("en", "Um, hello (yes, really).", "um hello yes really"),
        ("en", "well-known <laugh>", "well known"),
        ("en", "AT&T", "at and t"),
        ("de", "Straße, ÄRGER", "strasse ärger"),
        ("fr", "L’été à Nîmes", "lété à nimes"),
        ("fr", "e\u0301te\u0301", "été"),
        ("tr", "IĞDIR İzmir", "ığdır izmir"),
        ("ar", "مَرْحَبًا ـــ بِكُم", "مرحبا بكم"),
        ("ar", "٣ كتب", "ثلاثه كتب"),
        ("he", "\u200fשָׁלוֹם!", "שלום"),
        ("fa", "كيك می\u200cروم", "کیک میروم"),
        ("hi", "नमस्ते दुनिया।", "नमस्ते दुनिया"),
        ("zh", "你好， 世界。２０２４", "你好世界二千零二十四"),
        ("ja", "こんにちは、ｱｲｳ！", "こんにちはあいう"),
        ("ko", "안녕하세요 여러분.", "안녕하세요여러분"),
        ("th", "สวัสดี ครับ", "สวัสดีครับ"),
    ],
)
def test_normalise(language: str, text: str, expected: str) -> None:
    assert normalise(text, language) == expected


def test_one_wrong_letter_in_a_number_word_is_one_error() -> None:
    assert cer("nine birds", "mine birds", "en") == pytest.approx(1 / 10)
    assert cer("seven three nine", "seven tree nine", "en") == pytest.approx(1 / 16)


@pytest.mark.parametrize("language", ["en", "de", "zh", "ar"])
def test_an_empty_transcript_is_wholly_wrong(language: str) -> None:
    for nothing in ("", "  ", "...", "\u200b"):
        assert cer("abc", nothing, language) == 1
        assert wer("abc", nothing, language) == 1


def test_rates_count_letters_and_words() -> None:
    assert cer("one two", "One, two!", "en") == 0
    assert cer("ab cd", "ab xd", "de") == pytest.approx(1 / 5)  # the space is a character
    assert wer("ein zwei drei", "ein drei", "de") == pytest.approx(1 / 3)
    assert cer("ab", "abababab", "de") == 3


def test_a_word_is_a_character_where_words_have_no_spaces() -> None:
    assert wer("今天天气", "今天 天汽", "zh") == cer("今天天气", "今天天汽", "zh") == 0.25


@pytest.mark.parametrize("text", ["", " \n", "...", "🙂", "<laugh>", "\u200b", "؟"])
def test_a_reference_that_cannot_be_heard_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="leave"):
        check_text(text, "en")
    with pytest.raises(BadInput, match="heard"):
        cer(text, "anything", "en")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "None, no string"),
        (7, "7, no string"),
        ("a\x00b", r"U\+0000 at position 1"),
        ("\ud800a", r"U\+D800 at position 0"),
    ],
)
def test_check_text_names_the_fact_and_the_way_out(text: int | str | None, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        check_text(text, "en")
    assert ";" in str(caught.value)


def test_check_text_gives_the_text_back() -> None:
    assert check_text("Nine lives.\n", "en") == "Nine lives.\n"


@pytest.mark.parametrize(
    ("language", "meant"),
    [("english", "en"), ("EN", "en"), ("en-US", "en"), ("zh_CN", "zh"), ("Germann", "de")],
)
def test_an_unknown_language_names_the_known_one(language: str, meant: str) -> None:
    with pytest.raises(BadInput, match=f"did you mean '{meant}'"):
        normalise("text", language)


def test_a_language_without_a_neighbour_lists_the_known() -> None:
    with pytest.raises(BadInput, match=r"Known codes: af, am, .*zh"):
        check_text("text", "xx")


def test_normalise_takes_any_string() -> None:
    pick = random.Random(0)
    planes = [(0, 0x600), (0x600, 0xD7FF), (0xE000, 0x10FFFF)]
    pieces = [
        "twenty",
        "and a half",
        "million",
        "9" * 50,
        "$",
        "-5",
        ".5",
        "o",
        "%",
        "½",
        "second",
    ]
    for _ in range(1000):
        text = "".join(chr(pick.randint(*pick.choice(planes))) for _ in range(5))
        text += " ".join(pick.choices(pieces, k=3))
        for language in ("en", pick.choice(list(LANGUAGES))):
            out = normalise(text, language)
            assert out == out.strip() and "  " not in out


def test_normalise_takes_numbers_of_any_length() -> None:
    assert normalise("9" * 5000, "en").split() == ["nine"] * 5000


def test_where_words_end_is_spelling() -> None:
    assert cer("ice cream for one", "icecream for one", "en") == 0
    assert wer("Er ist 25-jährig.", "er ist fünf und zwanzig jährig", "de") == 0
    # the words that differ keep their spaces: one letter of one word
    assert cer("any more ice creem", "anymore icecream", "en") == pytest.approx(1 / 18)
    assert wer("any more ice creem", "anymore icecream", "en") == pytest.approx(1 / 4)
    assert compared("any more", "anymore or", "en") == ("any more", "any more or")


def test_no_reading_dilutes_errors() -> None:
    """Whichever reading is said, one wrong word costs the same."""
    text = "At 10:30 the red dog sleeps."
    usual = len(normalise(text, "en"))
    for said in ("ten thirty", "half past ten", "10:30"):
        assert cer(text, f"at {said} the red hog sleeps", "en") == pytest.approx(1 / usual)


def test_errors_are_the_fewest_of_all_readings_however_many_there_are() -> None:
    """Ten amounts have more pairs of readings than are tried one by one."""
    text = " ".join(f"It costs $1{n}.5{n} in room 20{n}." for n in range(10))
    heard = " ".join(
        f"it costs one {word} dollars and five {word} cents in room two hundred and {word}"
        for word in ("zero", "one", "two")
    )
    right = text.replace("$", "").replace("costs 1", "costs $1")
    assert cer(text, right, "en") == 0
    assert cer(text, right.replace("room 205", "room 305"), "en") == pytest.approx(
        cer("room 205", "room 305", "en")
        * len(normalise("room 205", "en"))
        / len(normalise(text, "en"))
    )
    assert cer(text, heard, "en") > 0


def test_nothing_that_can_be_heard_is_dropped() -> None:
    assert normalise("And a half of them left.", "en") == "and a half of them left"
    assert normalise("5 % ‰ 3", "fi") == "viisi prosenttia promillea kolme"
    assert normalise("Fish & chips", "en") == "fish and chips"


def test_numbers_of_other_languages_have_cldrs_words() -> None:
    assert cer("Hän osti 25 kg.", "hän osti kaksikymmentäviisi kilogrammaa", "fi") == 0
    assert cer("Kupił 25 książek", "kupił dwadzieścia pięć książek", "pl") == 0
    assert normalise("25", "gu") == "25"  # CLDR has no words


def test_punctuation_of_either_text_leaves_pinyin_alone() -> None:
    for one, other in [("不，是的。", "不是的"), ("不是的", "不，是的。")]:
        assert pinyin_wer(one, other, "zh", tones=True) == 0
    assert pinyin_wer("他买了25个。", "她买了二十五个", "zh", tones=True) == 0
    assert pinyin_wer("我用 Python 写", "我用python写", "zh", tones=False) == 0
    assert pinyin_wer("不是", "", "zh", tones=True) == 1


def test_the_languages_are_whispers() -> None:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES as OF_WHISPER

    assert {code: name.title() for code, name in OF_WHISPER.items()} == LANGUAGES


@pytest.mark.parametrize("text", ["um", "Um, uh.", "yes", "%"])
@pytest.mark.parametrize("nothing", ["", "...", "[Music]", " ♪ "])
def test_nothing_heard_is_wholly_wrong_even_for_fillers(text: str, nothing: str) -> None:
    assert cer(text, nothing, "en") == wer(text, nothing, "en") == 1
    assert cer(text, text, "en") == wer(text, text, "en") == 0
