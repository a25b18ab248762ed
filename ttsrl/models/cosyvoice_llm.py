"""CosyVoice2's and 3's language model: the official llm.pt -> a Hugging Face folder -> llm.pt.

Rows and ids are those of examples/grpo/cosyvoice2/pretrained_to_huggingface.py, and for CosyVoice3
of runtime/triton_trtllm/scripts/convert_cosyvoice3_to_hf.py (FunAudioLLM/CosyVoice), so that either
program reads the other's folder. The head differs: see `ttsrl.models.cosyvoice_head`.
"""

from __future__ import annotations

import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    PreTrainedTokenizerBase,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2Model,
)
from transformers.utils import logging

from ttsrl.errors import BadInput, Failure, reason_of
from ttsrl.families.cosyvoice2 import START, TASK, CosyVoice2
from ttsrl.families.cosyvoice3 import CODEBOOK_SIZE
from ttsrl.models.cosyvoice_editions import (
    APART,
    BIAS,
    EMBEDDING,
    HEAD,
    Edition,
    edition_of_tokens,
    edition_of_weights,
)
from ttsrl.models.cosyvoice_head import HeadReport, make_head
from ttsrl.models.hub import fill, load_model, load_part
from ttsrl.storage.atomic import new_folder, replace_file

LLM, BLANK_EN = "llm.pt", "CosyVoice-BlankEN"
TEXT_ROWS = 151_936
"""Rows of the text embedding in the published checkpoint, of which the tokenizer uses fewer."""
PAD_TO = 128
PARITY = 1e-4


@dataclass(frozen=True)
class Official:
    """The tensors of an llm.pt under names of their use: d is the width, R `edition.rows`."""

    edition: Edition
    body: dict[str, Tensor]
    """Qwen2's own, by its own names; `model.embed_tokens.weight` is the text embedding."""
    speech_embedding: Tensor
    """[R, d]"""
    apart: Tensor | None
    """[2, d], of the start and the task where they are not in the speech embedding"""
    head: Tensor
    """[R, d]"""
    bias: Tensor
    """[R]"""

    def embedding_of(self, token: str) -> Tensor:
        """[d], of one of the edition's tokens that are not speech."""
        if self.apart is not None and token in self.edition.apart:
            return self.apart[self.edition.apart.index(token)]
        return self.speech_embedding[CODEBOOK_SIZE + self.edition.after_codebook.index(token)]


def to_huggingface(checkpoint: Path, out: Path, device: str = "cpu") -> HeadReport:
    """Write the folder of an official checkpoint's language model; returns what its head does.

    The weights keep their type. Raises BadInput, and then has written nothing.
    """
    if out.exists() and any(out.iterdir()):
        raise BadInput(f"{out} is there already and not empty; give another folder, or remove it")
    for needed in (LLM, f"{BLANK_EN}/config.json", f"{BLANK_EN}/tokenizer_config.json"):
        if not (checkpoint / needed).is_file():
            raise BadInput(
                f"no {needed} in {checkpoint}; give the folder of a CosyVoice2 or 3 checkpoint as "
                "it is published (iic/CosyVoice2-0.5B on ModelScope, FunAudioLLM/CosyVoice2-0.5B "
                f"or Fun-CosyVoice3-0.5B-2512 on Hugging Face): {LLM} and {BLANK_EN}/ are read"
            )
    logging.disable_progress_bar()  # in a log it is noise
    official = read_llm(checkpoint / LLM)
    tokenizer = make_tokenizer(checkpoint / BLANK_EN, official.edition)
    family = official.edition.family(tokenizer, CODEBOOK_SIZE)
    model = _with_speech(official, checkpoint / BLANK_EN, family).to(cast(Any, device))
    report = make_head(model, family, official.bias)
    out.parent.mkdir(parents=True, exist_ok=True)
    with new_folder(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(str(folder))
        out.unlink() if out.is_file() else shutil.rmtree(out, ignore_errors=True)
    return report


def to_llm(model_folder: Path, out: Path) -> float:
    """Write the llm.pt of a Hugging Face folder; returns how far its logits are from the folder's.

    In float32, as CosyVoice loads it. Raises BadInput; Failure where the logits differ.
    """
    from transformers import AutoModelForCausalLM

    model = load_model(AutoModelForCausalLM, model_folder)
    tokenizer = load_part(AutoTokenizer, model_folder)
    edition = edition_of_tokens(tokenizer.get_vocab())
    family = edition.family(tokenizer, CODEBOOK_SIZE)
    text_rows = getattr(model.config, "text_rows", TEXT_ROWS)
    first, end = family.speech_token_ids.start, family.speech_token_ids.start + edition.rows
    state: dict[str, Tensor] = model.state_dict()
    embedding, head = state["model.embed_tokens.weight"], state["lm_head.weight"]
    text = embedding[:text_rows].clone()
    tensors = {f"llm.model.{name}": tensor for name, tensor in state.items()} | {
        "llm.model.model.embed_tokens.weight": text,
        "llm.model.lm_head.weight": text,
        EMBEDDING: embedding[first:end].clone(),
        HEAD: head[first:end].clone(),
    }
    if edition.apart:
        tensors[APART] = embedding[end : end + len(edition.apart)].clone()
    if edition.biased:
        tensors[BIAS] = torch.zeros(edition.rows)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(out) as temporary:
        torch.save(tensors, temporary)
        written = read_llm(temporary)
        prompt = family.prompt_ids("A check of what was written, 写下来的检查。", range(0, 640, 10))
        text_ids = prompt[1 : prompt.index(tokenizer.get_vocab()[TASK])]
        with torch.inference_mode():
            ours = model(torch.tensor([prompt])).logits[0, :, first:end]
            theirs = official_logits(written, model.config, text_ids, range(0, 640, 10))
        far = float((ours - theirs).abs().max())
        if far > PARITY:
            raise Failure(f"the logits of {out} are {far:.2g} from those of {model_folder}")
    return far


def read_llm(path: Path) -> Official:
    """Read an llm.pt. Raises BadInput naming the first key or shape that does not belong there."""
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise BadInput(
            f"{path} cannot be read: {reason_of(error)}; copy it again, it may be cut"
        ) from error
    if not isinstance(tensors, dict):
        raise BadInput(f"{path} holds a {type(tensors).__name__}, no weights by name")
    tensors = {k: t for k, t in tensors.items() if isinstance(t, Tensor)}  # not epoch and step
    prefix = "llm.model."
    body = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
    edition = edition_of_weights(tensors)
    title, shapes = edition.family.title, edition.shapes
    missing = [key for key in shapes if key not in tensors]
    if not missing and "model.embed_tokens.weight" not in body:
        missing = [f"{prefix}model.embed_tokens.weight"]
    if missing:
        raise BadInput(
            f"{path} has no {missing[0]}: it is not an llm.pt of {title}; give the one of a "
            "published CosyVoice2 or 3"
        )
    known = {*shapes, BIAS} if edition.biased else {*shapes}
    others = [key for key in tensors if key not in known and not key.startswith(prefix)]
    if others:
        raise BadInput(
            f"{path} has weights that {title}'s language model has not, first {others[0]}; give "
            f"the llm.pt of a {title}"
        )
    width = body["model.embed_tokens.weight"].shape[1]
    for key, rows in shapes.items():
        if tuple(tensors[key].shape) != (rows, width):
            raise BadInput(
                f"{path}: {key} is {list(tensors[key].shape)}, and in {title} with this text "
                f"embedding it is {[rows, width]}; give the llm.pt of a {title}"
            )
    for key, tensor in tensors.items():
        if not tensor.isfinite().all() or (tensor.ndim > 1 and not tensor.any()):
            kind = "not finite" if not tensor.isfinite().all() else "all zero"
            raise BadInput(
                f"{path} has weights that are {kind}, first in {key}: training diverged or the "
                "file is damaged; use an earlier checkpoint, or copy it again"
            )
    head = tensors[HEAD]
    bias = tensors.get(BIAS, head.new_zeros(edition.rows))
    return Official(edition, body, tensors[EMBEDDING], tensors.get(APART), head, bias)


def official_logits(
    official: Official, config: Qwen2Config, text_ids: Any, speech_tokens: Any
) -> Tensor:
    """What CosyVoice itself computes of an llm.pt: logits [2 + text + speech, R].

    By inputs_embeds, as Qwen2LM.inference of cosyvoice/llm/llm.py puts them together.
    """
    rows = official.body["model.embed_tokens.weight"].shape[0]
    own = Qwen2Config.from_dict({**config.to_dict(), "vocab_size": rows})
    model = Qwen2Model(own).eval()
    prefix = "model."  # beside it the body has a head over text, which CosyVoice does not use
    body = {k.removeprefix(prefix): t for k, t in official.body.items() if k.startswith(prefix)}
    fill(model, body, LLM)
    embed = official.body["model.embed_tokens.weight"].float()
    start, task = (official.embedding_of(token).float() for token in (START, TASK))
    inputs = torch.cat(
        [
            start[None],
            embed[torch.tensor(text_ids, dtype=torch.long)],
            task[None],
            official.speech_embedding.float()[torch.tensor(list(speech_tokens), dtype=torch.long)],
        ]
    )
    with torch.inference_mode():
        hidden = model(inputs_embeds=inputs[None]).last_hidden_state[0]
    return hidden @ official.head.float().T + official.bias.float()


def make_tokenizer(blank_en: Path, edition: Edition) -> PreTrainedTokenizerBase:
    """The tokenizer of CosyVoice-BlankEN with the edition's own tokens, speech tokens last."""
    tokenizer = load_part(AutoTokenizer, blank_en)
    tokenizer.add_special_tokens(
        cast(Any, {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"})
    )
    # one after the other, because it is their order that decides the ids
    tokenizer.add_tokens([*edition.special], special_tokens=True)
    first, added = len(tokenizer), edition.added
    tokenizer.add_tokens(added)
    ids = tokenizer.convert_tokens_to_ids(added)
    if ids != list(range(first, first + len(added))):
        raise BadInput(
            f"the tokenizer of {blank_en} has tokens of {edition.family.title}'s language model "
            f"already; give the {BLANK_EN} of the published checkpoint"
        )
    tokenizer.chat_template = edition.family.chat_template
    return tokenizer


def _with_speech(official: Official, blank_en: Path, family: CosyVoice2) -> Qwen2ForCausalLM:
    """The Qwen2 with speech rows in its embedding and its head, and zero in the rest of that."""
    text, rows = official.body["model.embed_tokens.weight"], official.edition.rows
    first = family.speech_token_ids.start
    size = -(-len(cast(Any, family.tokenizer)) // PAD_TO) * PAD_TO
    embedding = text.new_zeros(size, text.shape[1])
    embedding[:first] = text[:first]
    embedding[first : first + rows] = official.speech_embedding
    if official.apart is not None:
        embedding[first + rows : first + rows + len(official.apart)] = official.apart
    head = torch.zeros_like(embedding)
    head[first : first + rows] = official.head
    config = load_part(Qwen2Config, blank_en)
    config.update(
        {
            "vocab_size": size,
            "tie_word_embeddings": False,
            "eos_token_id": family.stop_token_ids[0],
            "pad_token_id": family.tokenizer.pad_token_id,
            "bos_token_id": None,
            "text_rows": text.shape[0],
        }
    )
    state = official.body | {"model.embed_tokens.weight": embedding, "lm_head.weight": head}
    model = Qwen2ForCausalLM(config)
    fill(model, state, f"{LLM} beside {blank_en.name}/config.json")
    model = model.to(cast(Any, text.dtype)).eval()
    settings = cast(Any, model.generation_config)
    settings.eos_token_id = family.stop_token_ids
    settings.pad_token_id = family.tokenizer.pad_token_id
    settings.do_sample, settings.temperature, settings.top_p, settings.top_k = True, 1.0, 0.8, 25
    return model
