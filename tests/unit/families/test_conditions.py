"""What each family's model is told beside the words: ids of style, reference and language."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from support.family_tokenizers import llasa_tokenizer, qwen2_cosy_tokenizer, write_qwen2_tokenizer
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.families.conditions import Conditions, PromptConfig, VoiceReference
from ttsrl.families.registry import family_class, load_family

BEFORE = VoiceReference("What was said.", [5, 6])


def families(folder: Path) -> dict[str, Family]:
    write_qwen2_tokenizer(folder / "cosy")
    cosyvoice2: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder / "cosy")
    cosyvoice2.add_tokens(["<|endofprompt|>", "[laughter]"], special_tokens=True)
    stops = ["<|eos1|>", "<|eos2|>", "<|eos3|>"]
    cosyvoice2.add_tokens([*(f"<|s_{n}|>" for n in range(100)), *stops, "<|sos|>", "<|task_id|>"])
    return {
        "llasa": load_family("llasa", llasa_tokenizer(100)),
        "cosyvoice2": load_family("cosyvoice2", cosyvoice2),
        "qwen2-cosy": load_family("qwen2-cosy", qwen2_cosy_tokenizer(folder / "qwen")),
    }


def encoded(family: Family, prompt: str) -> list[int]:
    tokenizer = family.tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    return tokenizer.encode(prompt, add_special_tokens=False)


def test_without_conditions_the_ids_are_those_of_the_words_alone(tmp_path: Path) -> None:
    # Golden ids: a vocabulary of bytes, so that "Hi" is the same two ids in each.
    ids = {name: family.prompt_ids("Hi") for name, family in families(tmp_path).items()}
    assert ids["cosyvoice2"] == [364, 39, 72, 365]
    assert len(ids["llasa"]) == 129
    assert ids["llasa"][-20:] == [
        25, 128_258, 39, 72, 128_259, 128_009,
        128_006, 64, 82, 82, 72, 82, 83, 64, 77, 83, 128_007, 198, 198, 128_260,
    ]  # fmt: skip
    assert ids["qwen2-cosy"][-17:] == [
        220, 39, 72, 258, 198, 257, 64, 82, 82, 72, 82, 83, 64, 77, 83, 198, 6820,
    ]  # fmt: skip
    for name, family in families(tmp_path).items():
        told = Conditions(None, "en", None)
        assert family.prompt_ids("Hi", (), told) == ids[name]


def test_a_style_is_an_instruction_before_the_words(tmp_path: Path) -> None:
    made = families(tmp_path)
    told = Conditions(style="a man whispering")
    [message] = made["llasa"].chat("Hello.", told)
    assert message["content"] == (
        "Speak in this style: a man whispering\n"
        "Convert the text to speech:<|TEXT_UNDERSTANDING_START|>Hello.<|TEXT_UNDERSTANDING_END|>"
    )
    cosyvoice2 = made["cosyvoice2"]
    expected = encoded(cosyvoice2, "<|sos|>a man whispering<|endofprompt|>Hello.<|task_id|>")
    assert cosyvoice2.prompt_ids("Hello.", (), told) == expected
    # an instruction within the text, as its texts have it, is the same style
    assert cosyvoice2.prompt_ids("a man whispering<|endofprompt|>Hello.") == expected


def test_a_reference_comes_before_the_text_and_begins_the_answer(tmp_path: Path) -> None:
    made = families(tmp_path)
    told = Conditions(reference=BEFORE)
    for name, joint in (("llasa", " "), ("cosyvoice2", ""), ("qwen2-cosy", "")):
        family = made[name]
        first = family.speech_token_ids.start
        expected = [*family.prompt_ids(f"What was said.{joint}Hello."), first + 5, first + 6]
        assert family.prompt_ids("Hello.", (), told) == expected, name
        assert family.prompt_ids("Hello.", [7], told) == [*expected, first + 7], name


def test_cosyvoice2_with_an_instruction_continues_no_recording(tmp_path: Path) -> None:
    # As its frontend_instruct2: the recording is the voice of the codec alone.
    cosyvoice2 = families(tmp_path)["cosyvoice2"]
    expected = encoded(cosyvoice2, "<|sos|>slowly<|endofprompt|>Hello.<|task_id|>")
    both = Conditions(style="slowly", reference=BEFORE)
    assert cosyvoice2.prompt_ids("Hello.", (), both) == expected
    alone = Conditions(reference=BEFORE)
    assert cosyvoice2.prompt_ids("slowly<|endofprompt|>Hello.", (), alone) == expected


def test_a_fine_tune_is_told_in_the_form_that_it_was_taught(tmp_path: Path) -> None:
    write_qwen2_tokenizer(tmp_path)
    tokenizer = qwen2_cosy_tokenizer(tmp_path)
    tokenizer.add_tokens(["<|happy|>"])
    told = PromptConfig(
        request="[{language}] {text}",
        styled_request="[{language}] {style}{text}",
        styles={"happy": "<|happy|>"},
    )
    family = load_family("qwen2-cosy", tokenizer, told=told)
    assert family.chat("Hi", told.conditions(language="de"))[0]["content"] == "[de] Hi"
    happy = family.chat("{style}", told.conditions(style="happy", language="de"))
    assert happy[0]["content"] == "[de] <|happy|>{style}"  # what stands in a place is not a form
    ids = family.prompt_ids("Hi", (), told.conditions(style="happy", language="de"))
    assert tokenizer.get_vocab()["<|happy|>"] in ids
    with pytest.raises(BadInput, match=r'"sad" is not in prompt\.styles, which has happy'):
        family.chat("Hi", told.conditions(style="sad", language="de"))
    with pytest.raises(BadInput, match="a place for the language, and none is given"):
        family.chat("Hi")
    with pytest.raises(BadInput, match=r"marker '<\|sad\|>', which the policy's tokenizer lacks"):
        load_family("qwen2-cosy", tokenizer, told=PromptConfig(styles={"sad": "<|sad|>"}))


def test_a_label_may_be_told_as_the_style_or_nothing() -> None:
    carried: dict[str, Any] = {"style": "a happy woman", "label": "happy"}
    assert PromptConfig().conditions(**carried).style == "a happy woman"
    assert PromptConfig(style_from="label").conditions(**carried).style == "happy"
    assert PromptConfig(style_from=None).conditions(**carried).style is None


def test_what_a_family_cannot_be_told_is_refused() -> None:
    with pytest.raises(BadInput, match="Qwen2 with CosyVoice2 tokens is told none: it is told a t"):
        family_class("qwen2-cosy").messages("Hello.", Conditions(style="slowly"))
    with pytest.raises(BadInput, match=r"the style contains '<\|s_1\|>'"):
        family_class("llasa").messages("Hello.", Conditions(style="slowly <|s_1|>"))
    with pytest.raises(BadInput, match=r"the style contains '<\|endofprompt\|>'"):
        family_class("cosyvoice2").messages("Hi", Conditions(style="slowly<|endofprompt|>"))
    with pytest.raises(BadInput, match="control characters"):
        family_class("llasa").messages("Hello.", Conditions(style="a\nb"))
    with pytest.raises(BadInput, match="the text of the reference contains the markup '<b>'"):
        family_class("llasa").messages("Hello.", Conditions(reference=VoiceReference("<b>", [])))
    # a text may hold an instruction; what is said in a recording does not
    with pytest.raises(BadInput, match=r"the text of the reference contains '<\|endofprompt\|>'"):
        family_class("cosyvoice2").check_transcript("slow<|endofprompt|>Hi")
    with pytest.raises(BadInput, match="Orpheus was not taught to continue a recording"):
        family_class("orpheus").check_transcript("Hi")
    with pytest.raises(BadInput, match='holds an instruction, and has the style "fast"'):
        family_class("cosyvoice2").messages("slow<|endofprompt|>Hi", Conditions(style="fast"))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"request": "Say it"}, "has no place for {text}"),
        ({"styled_request": "{text}"}, "has no place for {style}"),
        ({"request": "{text} {style}"}, "has a place {style}, and what may stand in it is"),
        ({"styled_request": "{style} {text} {mood}"}, "has a place {mood}"),
    ],
)
def test_a_form_without_its_places_is_refused(section: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("{", r"\{")):
        PromptConfig.model_validate(section)
