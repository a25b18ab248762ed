"""Prompt ids of every family, against the chat of its own training; and what no family accepts."""

from pathlib import Path

import pytest
import trl
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from support.family_tokenizers import llasa_tokenizer, qwen2_cosy_tokenizer, write_qwen2_tokenizer
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.families.llasa import DATE
from ttsrl.families.registry import FAMILIES, family_class, load_family

TEXTS = ["Hello, world!", "你好，世界。", "  two  spaces ", "1984 & déjà vu\nnew line"]
LLAMA_3_2 = Path(trl.__file__).parent / "chat_templates" / "llama3_2.jinja"


@pytest.fixture(scope="module")
def llama() -> PreTrainedTokenizerBase:
    return llasa_tokenizer()


@pytest.fixture(scope="module")
def llasa(llama: PreTrainedTokenizerBase) -> Family:
    return load_family("llasa", llama, 65_536)


@pytest.fixture(scope="module")
def qwen2_cosy(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return load_family("qwen2-cosy", qwen2_cosy_tokenizer(tmp_path_factory.mktemp("qwen")), 6561)


def cosyvoice2_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    write_qwen2_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<|endofprompt|>"], special_tokens=True)
    added = [*(f"<|s_{n}|>" for n in range(6561)), "<|eos1|>", "<|eos2|>", "<|eos3|>"]
    tokenizer.add_tokens([*added, "<|sos|>", "<|task_id|>"])
    return tokenizer


@pytest.mark.parametrize("text", TEXTS)
def test_llasa_prompts_are_channel_ios_with_the_date_pinned(
    llama: PreTrainedTokenizerBase, llasa: Family, text: str
) -> None:
    # Its chat, rendered by Llama-3.2's own template, of which TRL has a copy.
    user = (
        f"Convert the text to speech:<|TEXT_UNDERSTANDING_START|>{text}<|TEXT_UNDERSTANDING_END|>"
    )
    rendered = llama.apply_chat_template(
        [
            {"role": "user", "content": user},
            {"role": "assistant", "content": "<|SPEECH_GENERATION_START|>"},
        ],
        chat_template=LLAMA_3_2.read_text(),
        date_string=DATE,
        continue_final_message=True,
        tokenize=False,
    )
    expected = llama.encode(str(rendered), add_special_tokens=False)
    assert llasa.prompt_ids(text) == expected
    assert (expected[0], expected[-1]) == (128_000, 128_260)


def test_llasa_ids_are_those_of_its_card(llasa: Family) -> None:
    assert llasa.speech_token_ids == range(128_264, 193_800)
    assert llasa.stop_token_ids == [128_261]
    assert llasa.allowed_in_frame == [[128_261, *range(128_264, 193_800)]]
    assert llasa.speech_tokens([128_264, 193_799, 5, 128_261, 128_264]) == ([0, 65_535, -1], True)
    assert llasa.speech_tokens([128_264]) == ([0], False)


@pytest.mark.parametrize("text", TEXTS)
def test_qwen2_cosy_prompts_are_those_of_mair_hub(qwen2_cosy: Family, text: str) -> None:
    tokenizer = qwen2_cosy.tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    rendered = (
        f"<|im_start|>user\nConvert the text to speech: {text}<|im_end|>\n"
        "<|im_start|>assistant\n<|SPEECH_GENERATION_START|>"
    )
    ids = tokenizer.encode(rendered, add_special_tokens=False)
    assert qwen2_cosy.prompt_ids(text) == ids
    assert qwen2_cosy.prompt_ids(text, [7]) == [*ids, 259 + 7]


@pytest.mark.parametrize("text", TEXTS)
def test_cosyvoice2_prompts_are_text_between_start_and_task(tmp_path: Path, text: str) -> None:
    tokenizer = cosyvoice2_tokenizer(tmp_path)
    family = load_family("cosyvoice2", tokenizer, 6561)
    first, start = 260, 260 + 6561 + 3
    assert family.prompt_ids(text) == [start, *tokenizer.encode(text), start + 1]
    assert family.speech_token_ids == range(first, first + 6561)
    assert family.stop_token_ids == [first + 6561, first + 6562, first + 6563]
    assert [len(ids) for ids in family.allowed_in_frame] == [6561 + 3]
    assert family.prompt_ids(text, [0, 6560])[-2:] == [first, first + 6560]


def test_only_an_instruction_may_stand_in_a_text_as_a_marker(tmp_path: Path) -> None:
    tokenizer = cosyvoice2_tokenizer(tmp_path)
    ids = load_family("cosyvoice2", tokenizer).prompt_ids("用四川话说<|endofprompt|>你好")
    assert ids.count(tokenizer.get_vocab()["<|endofprompt|>"]) == 1
    for name in FAMILIES:
        with pytest.raises(BadInput, match=r"<\|s_1\|>.*own markers"):
            family_class(name).messages("hello <|s_1|>")
    with pytest.raises(BadInput, match=r"<\|endofprompt\|>"):
        family_class("llasa").messages("hello<|endofprompt|>")


def test_a_tokenizer_of_another_kind_is_refused(
    tmp_path: Path, llama: PreTrainedTokenizerBase, qwen2_cosy: Family
) -> None:
    with pytest.raises(BadInput, match=r"not a tokenizer of CosyVoice2: it lacks <\|sos\|>"):
        load_family("cosyvoice2", llama)
    qwen2 = qwen2_cosy.tokenizer  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(BadInput, match=r"not a tokenizer of Llasa: it lacks <\|TEXT_UNDER"):
        load_family("llasa", qwen2)
    with pytest.raises(BadInput, match=r"65536 speech tokens .* codebook has 6561"):
        load_family("llasa", llama, 6561)
    write_qwen2_tokenizer(tmp_path)
    bare = AutoTokenizer.from_pretrained(tmp_path)
    bare.add_tokens(["<|SPEECH_GENERATION_START|>"])
    with pytest.raises(BadInput, match=r"no speech tokens <\|s_0\|>"):
        load_family("qwen2-cosy", bare)
    bare.add_tokens(["<|s_0|>", "<|s_2|>"])
    with pytest.raises(BadInput, match="not contiguous"):
        load_family("qwen2-cosy", bare)
    special = AutoTokenizer.from_pretrained(tmp_path)
    special.add_tokens(["<|SPEECH_GENERATION_START|>"])
    special.add_tokens(["<|s_0|>", "<|s_1|>"], special_tokens=True)
    with pytest.raises(BadInput, match="registered as special"):
        load_family("qwen2-cosy", special)


def test_a_run_names_a_family_that_is_known() -> None:
    values = {
        "name": "r",
        "model": "m",
        "codec": "c",
        "data": {"texts": "t"},
        "train": {"steps": 1},
        "reward": {"whisper": {"model": "w"}},
        "eval": {"judges": [{"name": "j", "type": "ctc", "model": "j"}]},
    }
    for name in FAMILIES:
        assert RunConfig.model_validate({**values, "family": name}).family == name
    with pytest.raises(ValueError, match="unknown family 'gpt'; known: llasa, cosyvoice2"):
        RunConfig.model_validate({**values, "family": "gpt"})
