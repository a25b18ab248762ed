"""Markup is told from text, in every language alike; a family's own markup is passed to it."""

import pytest

from ttsrl.errors import BadInput
from ttsrl.families.cosyvoice2 import CosyVoice2
from ttsrl.families.llasa import Llasa
from ttsrl.text.markup import marks_in, without_marks
from ttsrl.text.normalise import check_text, normalise

TEXTS = [
    "a < b and c > d",
    "x <y and z> w",
    "if 1<2 and 3>2",
    "see [1] and [12]",
    "I <3 you",
    "R&D, AT&T & others",
    "[...] went home",
    "he goed [sic] home",
    "a -> b, c <- d, <=>",
    "write to <me@example.org>",
]
MARKED = {
    "ha [laughter] ha": ["[laughter]"],
    "[quick_breath] no": ["[quick_breath]"],
    "我们[笑声]走吧": ["[笑声]"],
    "[door slams] oh": ["[door slams]"],
    "<speak>hi<break time='1s'/> <say-as interpret-as=\"date\">1</say-as></speak>": [
        "<speak>", "<break time='1s'/>", '<say-as interpret-as="date">', "</say-as>", "</speak>",
    ],
    "a <strong>b</strong>": ["<strong>", "</strong>"],
    "<p class=x>a": ["<p class=x>"],
    "a<!-- b -->c": ["<!-- b -->"],
    '<?xml version="1.0"?>a': ['<?xml version="1.0"?>'],
    "black &amp; white": ["&amp;"],
    "ну[смех]": ["[смех]"],
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_signs_in_a_text_are_text(text: str, language: str) -> None:
    assert marks_in(text) == []
    assert without_marks(text) == text
    assert check_text(text, language) == text
    assert Llasa.messages(text)
    assert normalise(text, language) == normalise(text.replace("<", "< "), language)


@pytest.mark.parametrize(("text", "marks"), MARKED.items())
@pytest.mark.parametrize("language", ["en", "de", "zh", "ar"])
def test_markup_is_no_text_in_any_language(text: str, marks: list[str], language: str) -> None:
    assert marks_in(text) == marks
    with pytest.raises(BadInput, match="contains the markup"):
        check_text(text, language)
    with pytest.raises(BadInput, match=r"contains the markup .*, which Llasa does not understand"):
        Llasa.messages(text)


def test_what_a_family_understands_is_passed_to_it_and_not_heard() -> None:
    text = "用开心的语气说<|endofprompt|>ha[laughter]ha, <strong>very</strong> good.[breath]"
    assert CosyVoice2.messages(text)[0]["content"] == text
    assert CosyVoice2.spoken(text) == "ha ha, very good."
    assert CosyVoice2.spoken("two  spaces ") == "two  spaces "
    with pytest.raises(BadInput, match=r"'\[applause\]', which CosyVoice2 .*; it knows"):
        CosyVoice2.messages("ha [applause]")
    with pytest.raises(BadInput, match="'<strong >'"):  # not the token of its tokenizer
        CosyVoice2.messages("<strong >ha</strong>")
