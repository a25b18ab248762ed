"""CosyVoice3's prompts, against the calls of its example.py; and what it does not take."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from support.family_tokenizers import write_qwen2_tokenizer
from ttsrl.errors import BadInput
from ttsrl.families.conditions import Conditions, PromptConfig, VoiceReference
from ttsrl.families.registry import family_class, load_family
from ttsrl.models.cosyvoice_editions import COSYVOICE2, COSYVOICE3
from ttsrl.models.cosyvoice_llm import make_tokenizer

TEXT = "收到好友的礼物"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    folder = tmp_path_factory.mktemp("blank-en")
    write_qwen2_tokenizer(folder)
    return make_tokenizer(folder, COSYVOICE3)


def ids_of(
    tokenizer: PreTrainedTokenizerBase, text: str, *, tokens: tuple[int, ...] = ()
) -> list[int]:
    """start, text, task, speech, as Qwen2LM.inference puts them together."""
    speech = [tokenizer.get_vocab()[f"<|s_{n}|>"] for n in tokens]
    return tokenizer.encode(f"<|sos|>{text}<|task_id|>") + speech


def test_prompts_are_those_of_its_examples(tokenizer: PreTrainedTokenizerBase) -> None:
    family = load_family("cosyvoice3", tokenizer, 6561)
    # inference_cross_lingual: the text with the instruction, and no recording before it
    plain = ids_of(tokenizer, f"You are a helpful assistant.<|endofprompt|>[breath]{TEXT}")
    assert family.prompt_ids(f"[breath]{TEXT}") == plain
    assert family.prompt_ids(f"You are a helpful assistant.<|endofprompt|>[breath]{TEXT}") == plain
    # inference_instruct2
    instruct = ids_of(
        tokenizer, f"You are a helpful assistant. 请用广东话表达。<|endofprompt|>{TEXT}"
    )
    style = Conditions(style="请用广东话表达。")
    assert family.prompt_ids(TEXT, conditions=style) == instruct
    for begin in ("", "You are a helpful assistant. "):
        assert family.prompt_ids(f"{begin}请用广东话表达。<|endofprompt|>{TEXT}") == instruct
    # inference_zero_shot: the recording's text stands behind the instruction
    voice = VoiceReference("希望你以后能够做的比我还好呦。", [5, 6560])
    zero_shot = ids_of(
        tokenizer,
        f"You are a helpful assistant.<|endofprompt|>{voice.text}{TEXT}",
        tokens=(5, 6560),
    )
    assert family.prompt_ids(TEXT, conditions=Conditions(reference=voice)) == zero_shot
    # with an instruction the recording is the codec's voice alone
    both = Conditions(style="请用广东话表达。", reference=voice)
    assert family.prompt_ids(TEXT, conditions=both) == instruct


def test_what_all_instructions_begin_with_is_spoken_where_no_instruction_is(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    family = load_family("cosyvoice3", tokenizer)
    said = "You are a helpful assistant. Thank you."
    assert family.prompt_ids(said) == ids_of(
        tokenizer, f"You are a helpful assistant.<|endofprompt|>{said}"
    )
    assert family.spoken(said) == said
    assert family.spoken(f"You are a helpful assistant.<|endofprompt|>[sigh]{TEXT}") == TEXT


def test_a_pronunciation_a_second_instruction_and_a_form_without_one_are_refused(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    family = family_class("cosyvoice3")
    with pytest.raises(BadInput, match=r"has the pronunciation \[j\].*write the word"):
        family.messages("报道[j][ǐ]予好评")
    with pytest.raises(BadInput, match="holds an instruction, and has the style"):
        family.messages("Softly.<|endofprompt|>hello", Conditions(style="Loudly."))
    with pytest.raises(BadInput, match=r"prompt\.request = '\{text\}' has no <\|endofprompt\|>"):
        load_family("cosyvoice3", tokenizer, told=PromptConfig(request="{text}"))
    own = PromptConfig(request="Speak.<|endofprompt|>{text}")
    assert load_family("cosyvoice3", tokenizer, told=own).prompt_ids("a") == ids_of(
        tokenizer, "Speak.<|endofprompt|>a"
    )


def test_the_two_editions_do_not_take_each_others_tokenizer(
    tmp_path: Path, tokenizer: PreTrainedTokenizerBase
) -> None:
    with pytest.raises(BadInput, match=r"not a tokenizer of CosyVoice2: it lacks <\|eos2\|>"):
        load_family("cosyvoice2", tokenizer, 6561)
    write_qwen2_tokenizer(tmp_path)
    with pytest.raises(BadInput, match=r"not a tokenizer of CosyVoice3: it lacks <\|fill\|>"):
        load_family("cosyvoice3", make_tokenizer(tmp_path, COSYVOICE2), 6561)
