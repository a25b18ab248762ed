import random

import pytest

from ttsrl.errors import BadInput
from ttsrl.text.languages import LANGUAGES, READ_OUT
from ttsrl.text.normalise import cer, check_text, normalise, wer
from ttsrl.text.numbers import PERCENT, WETEXT


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Hello,   WORLD!", "hello world"),
        ("en", "Café\u0301 naïve", "cafe naive"),
        ("en", "Um, hello (yes, really).", "um hello yes really"),
        ("en", "well-known <laugh>", "well known"),
        ("en", "AT&T", "at and t"),
        ("de", "Straße, ÄRGER", "strasse ärger"),
        ("fr", "L’été à Nîmes", "l été à nîmes"),
        ("fr", "e\u0301te\u0301", "été"),
        ("tr", "IĞDIR İzmir", "ığdır izmir"),
        ("ar", "مَرْحَبًا ـــ بِكُم", "مرحبا بكم"),
        ("ar", "٣ كتب", "3 كتب"),
        ("he", "\u200fשָׁלוֹם!", "שלום"),
        ("fa", "كيك می\u200cروم", "کیک میروم"),
        ("hi", "नमस्ते दुनिया।", "नमस्ते दुनिया"),
        ("zh", "你好， 世界。２０２４", "你好世界两千零二十四"),
        ("ja", "こんにちは、ｱｲｳ！", "こんにちはアイウ"),
        ("ko", "안녕하세요 여러분.", "안녕하세요여러분"),
        ("th", "สวัสดี ครับ", "สวัสดีครับ"),
    ],
)
def test_normalise(language: str, text: str, expected: str) -> None:
    assert normalise(text, language) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("nine", "9"),
        ("seven three nine", "739"),
        ("1984", "nineteen eighty-four"),
        ("007", "zero zero seven"),
        ("$5", "five dollars"),
        ("20%", "twenty percent"),
        ("3.5", "three point five"),
        ("-5", "minus five"),
        ("one hundred thousand", "100,000"),
        ("10:30", "ten thirty"),
        ("It’s 5 o'clock", "it is five o’clock"),
        ("don't", "do not"),
        ("Dr. Brown", "doctor brown"),
    ],
)
def test_english_that_sounds_the_same_is_the_same(one: str, other: str) -> None:
    assert normalise(one, "en") == normalise(other, "en") != ""


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
    assert cer("ab cd", "abcd", "de") == pytest.approx(1 / 5)  # the space is a character
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


@pytest.mark.parametrize(
    ("language", "written", "spoken"),
    [
        ("zh", "我有25个苹果，打九折。", "我有二十五个苹果,打九折"),
        ("zh", "電話很貴", "电话很贵"),  # recognisers write either script
        ("zh", "3.5%", "百分之三点五"),
        ("yue", "電話25個", "電話二十五個"),
        ("ja", "2024年3月5日に25個", "二千二十四年三月五日に二十五個"),
        ("ko", "사과 25개, 3.5%", "사과 이십오개 삼점오 퍼센트"),
        (
            "de",
            "25 Äpfel und 1.250 Birnen",
            "fünfundzwanzig Äpfel und eintausendzweihundertfünfzig Birnen",
        ),
        ("de", "3,5 %", "drei Komma fünf Prozent"),
        ("fr", "25 pommes et 1 250 euros", "vingt-cinq pommes et mille deux cent cinquante euros"),
        (
            "es",
            "21 perros y 1984 gatos",
            "veintiuno perros y mil novecientos ochenta y cuatro gatos",
        ),
        ("it", "3,14", "tre virgola uno quattro"),
        ("pt", "1.000.000 de livros", "um milhão de livros"),
    ],
)
def test_numbers_are_read_out(language: str, written: str, spoken: str) -> None:
    assert normalise(written, language) == normalise(spoken, language)
    assert not any(c.isdigit() for c in normalise(written, language))
    assert cer(written, spoken, language) == 0


@pytest.mark.parametrize("text", ["007", "1234567890123456"])
def test_what_is_no_quantity_is_not_read_as_one(text: str) -> None:
    assert normalise(text, "de") == text


def test_every_language_that_is_read_out_has_its_rules() -> None:
    assert {*WETEXT, *PERCENT} == READ_OUT


def test_the_languages_are_whispers() -> None:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES as OF_WHISPER

    assert {code: name.title() for code, name in OF_WHISPER.items()} == LANGUAGES
