"""llm.pt -> Hugging Face folder -> llm.pt, against what CosyVoice2 itself computes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from support.cosyvoice2_files import TEXT_ROWS, write_llm
from ttsrl.errors import BadInput
from ttsrl.families.registry import load_family
from ttsrl.models import cosyvoice_head
from ttsrl.models.cosyvoice_editions import COSYVOICE2, COSYVOICE3, SPECIAL, Edition
from ttsrl.models.cosyvoice_llm import official_logits, read_llm, to_huggingface, to_llm

SMALLER = {"SAMPLES": 1, "TOKENS": 32}
TEXT = "你好 world"
SPEECH = [0, 6560, 17, 3000, 17]


@pytest.fixture(scope="module", autouse=True)
def less_speech() -> Iterator[None]:
    """Enough for a model of this width."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALLER.items():
            patch.setattr(cosyvoice_head, name, value)
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llm(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="module")
def folder(checkpoint: Path) -> Path:
    to_huggingface(checkpoint, checkpoint / "policy")
    return checkpoint / "policy"


@pytest.fixture(scope="module")
def checkpoint_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llm(tmp_path_factory.mktemp("third"), edition=COSYVOICE3)


@pytest.fixture(scope="module")
def folder_3(checkpoint_3: Path) -> Path:
    report = to_huggingface(checkpoint_3, checkpoint_3 / "policy")
    assert "has no bias" in str(report)
    return checkpoint_3 / "policy"


def logits_of(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits [T, V] of the folder for TEXT and SPEECH, by transformers alone; and of its speech."""
    family = load_family("cosyvoice2", AutoTokenizer.from_pretrained(folder), 6561)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    assert type(model) is Qwen2ForCausalLM
    with torch.no_grad():
        logits = model(torch.tensor([family.prompt_ids(TEXT, SPEECH)])).logits[0]
    return logits, logits[:, family.allowed_in_frame[0]]


def official(checkpoint: Path, llm: str = "llm.pt") -> torch.Tensor:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint / "CosyVoice-BlankEN")
    config = Qwen2Config.from_pretrained(checkpoint / "CosyVoice-BlankEN")
    return official_logits(read_llm(checkpoint / llm), config, tokenizer.encode(TEXT), SPEECH)


def test_logits_are_the_same_before_after_and_after_a_round_trip(
    checkpoint: Path, folder: Path
) -> None:
    before = official(checkpoint)
    torch.testing.assert_close(logits_of(folder)[1], before, atol=1e-4, rtol=0)
    assert to_llm(folder, checkpoint / "llm-new.pt") <= 1e-4
    torch.testing.assert_close(official(checkpoint, "llm-new.pt"), before, atol=1e-4, rtol=0)
    old, new = (torch.load(checkpoint / name) for name in ("llm.pt", "llm-new.pt"))
    assert {k: t.shape for k, t in new.items()} == {k: t.shape for k, t in old.items()}
    assert new["llm.model.model.embed_tokens.weight"].shape[0] == TEXT_ROWS[COSYVOICE2]


def test_cosyvoice3_logits_are_the_same_before_after_and_after_a_round_trip(
    checkpoint_3: Path, folder_3: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder_3)
    family = load_family("cosyvoice3", tokenizer, 6561)
    instructed = f"You are a helpful assistant.<|endofprompt|>{TEXT}"
    config = Qwen2Config.from_pretrained(checkpoint_3 / "CosyVoice-BlankEN")

    def official_of(llm: str) -> torch.Tensor:
        text_ids = tokenizer.encode(instructed)
        return official_logits(read_llm(checkpoint_3 / llm), config, text_ids, SPEECH)

    before = official_of("llm.pt")
    assert before.shape[1] == 6761
    model = AutoModelForCausalLM.from_pretrained(folder_3, dtype="float32")
    with torch.no_grad():
        logits = model(torch.tensor([family.prompt_ids(TEXT, SPEECH)])).logits[0]
    first = family.speech_token_ids.start
    torch.testing.assert_close(logits[:, first : first + 6761], before, atol=1e-4, rtol=0)
    # what is not of the head lies far below
    share = (before.logsumexp(-1) - logits.logsumexp(-1))[-len(SPEECH) :]
    assert share.exp().min() > 1 - 1e-6
    assert to_llm(folder_3, checkpoint_3 / "llm-new.pt") <= 1e-4
    torch.testing.assert_close(official_of("llm-new.pt"), before, atol=1e-4, rtol=0)
    old, new = (torch.load(checkpoint_3 / name) for name in ("llm.pt", "llm-new.pt"))
    assert {k: t.shape for k, t in new.items()} == {k: t.shape for k, t in old.items()}


def test_cosyvoice3_ids_are_those_of_upstreams_conversion(folder_3: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder_3)
    special = ["<|endofprompt|>", "[breath]", "<|endofsystem|>", "[AA]", "[ZH]", "[a]", "[ǜ]"]
    # of this Qwen2 259 tokens come before; of the published one 151 646
    assert tokenizer.convert_tokens_to_ids(special) == [
        259 + n for n in (0, 1, 17, 18, 18 + 83, 18 + 84, 18 + 259)
    ]
    first = 259 + 278
    ends = ["<|s_0|>", "<|s_6560|>", "<|sos|>", "<|eos1|>", "<|task_id|>", "<|fill|>", "<|s_6760|>"]
    assert tokenizer.convert_tokens_to_ids(ends) == [
        first + n for n in (0, 6560, 6561, 6562, 6563, 6564, 6760)
    ]
    family = load_family("cosyvoice3", tokenizer, 6561)
    assert family.speech_token_ids == range(first, first + 6561)
    assert family.stop_token_ids == [first + 6562]
    prompt = tokenizer.encode(f"You are a helpful assistant.<|endofprompt|>{TEXT}")
    assert family.prompt_ids(TEXT, [7]) == [first + 6561, *prompt, first + 6563, first + 7]


@pytest.mark.parametrize("edition", [COSYVOICE2, COSYVOICE3], ids=["2", "3"])
def test_weights_of_the_other_edition_are_named(tmp_path: Path, edition: Edition) -> None:
    write_llm(tmp_path, edition=edition)
    good = torch.load(tmp_path / "llm.pt")
    torch.save({**good, "llm_decoder.weight": good["llm_decoder.weight"][:6562]}, tmp_path / "l.pt")
    with pytest.raises(BadInput, match=rf"\[6562, 64\], and in {edition.family.title} with"):
        read_llm(tmp_path / "l.pt")


def test_ids_are_those_of_upstreams_conversion(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    new = [token for token in SPECIAL if token not in ("<|im_start|>", "<|im_end|>")]
    added = [*new, *(f"<|s_{n}|>" for n in range(6561)), "<|eos1|>", "<|eos2|>", "<|eos3|>"]
    added += ["<|sos|>", "<|task_id|>"]
    # 259 is what the tokenizer of this Qwen2 has of its own; in the published one it is 151 646
    assert tokenizer.convert_tokens_to_ids(added) == list(range(259, 259 + len(added)))
    assert tokenizer.eos_token == tokenizer.pad_token == "<|endoftext|>"
    family = load_family("cosyvoice2", tokenizer, 6561)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.generation_config.eos_token_id == family.stop_token_ids
    assert model.config.eos_token_id == family.stop_token_ids[0]
    assert model.config.vocab_size % 128 == 0
    assert model.config.vocab_size - len(tokenizer) < 128


def test_ids_that_are_no_speech_lie_far_below(checkpoint: Path, folder: Path) -> None:
    logits, speech = logits_of(folder)
    share = (speech.logsumexp(-1) - logits.logsumexp(-1))[-len(SPEECH) :]
    assert share.exp().min() > 1 - 1e-6


def test_a_bias_is_folded_in_and_what_remains_is_reported(tmp_path: Path) -> None:
    checkpoint = write_llm(tmp_path, bias=0.5)
    report = to_huggingface(checkpoint, tmp_path / "policy")
    assert report.largest_bias > 0.5
    assert report.kl_nats < report.kl_dropped_nats / 10
    assert "was folded into its weights" in str(report)
    before, after = official(checkpoint), logits_of(tmp_path / "policy")[1]
    p, q = before.log_softmax(-1), after.log_softmax(-1)
    kl = (p.exp() * (p - q)).sum(-1)[-len(SPEECH) :].mean()
    assert float(kl) < report.kl_dropped_nats / 5
    # from here on the folder is the policy, and its llm.pt is exactly that
    to_llm(tmp_path / "policy", tmp_path / "llm-new.pt")
    torch.testing.assert_close(official(tmp_path, "llm-new.pt"), after, atol=1e-4, rtol=0)


def test_hidden_states_without_a_common_direction_leave_other_ids_at_zero(tmp_path: Path) -> None:
    report = to_huggingface(write_llm(tmp_path, common=0.0), tmp_path / "policy")
    assert report.text_below_nats is None
    assert "masked in sampling" in str(report)
    logits, speech = logits_of(tmp_path / "policy")
    assert logits[:, :259].abs().max() == 0
    torch.testing.assert_close(speech, official(tmp_path), atol=1e-4, rtol=0)


def test_a_checkpoint_that_cannot_be_used_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    write_llm(tmp_path)
    out, llm = tmp_path / "policy", tmp_path / "llm.pt"
    good = torch.load(llm)

    def refuse(message: str) -> None:
        with pytest.raises(BadInput, match=message):
            to_huggingface(tmp_path, out)
        assert not out.exists()

    whole = llm.read_bytes()
    llm.write_bytes(whole[: len(whole) // 2])
    refuse("cannot be read.*may be cut")
    torch.save({k: t for k, t in good.items() if k != "llm_embedding.weight"}, llm)
    refuse(r"no llm_embedding\.weight: it is not an llm\.pt of CosyVoice2")
    torch.save({**good, "llm_decoder.weight": good["llm_decoder.weight"][:100]}, llm)
    refuse(r"llm_decoder\.weight is \[100, 64\]")
    name = "llm.model.model.layers.1.mlp.up_proj.weight"
    torch.save({**good, name: good[name] * torch.nan}, llm)
    refuse(f"not finite, first in {name}")
    torch.save({**good, name: good[name] * 0}, llm)
    refuse(f"all zero, first in {name}")
    torch.save({**good, name: good[name][:50]}, llm)
    refuse("different sizes")
    llm.unlink()
    refuse(r"no llm\.pt in .*iic/CosyVoice2-0\.5B")
    torch.save(good, llm)
    (tmp_path / "CosyVoice-BlankEN" / "tokenizer_config.json").unlink()
    refuse(r"no CosyVoice-BlankEN/tokenizer_config\.json")
