"""The policy: a Llama of 8 million weights in Llasa's format, from random weights.

python -m examples.voice.train_policy WORK            # writes WORK/policy
python -m examples.voice.train_policy WORK --flawed   # WORK/policy, once more on a spoiled corpus
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from examples.voice.batches import IGNORED, Batches, Prompts, SpokenCorpus
from examples.voice.codec_folder import read_codec
from examples.voice.corpus import held_out_texts, read_shard
from examples.voice.encode import ALL_TOKENS, TOKENS, encode
from examples.voice.flaws import flawed
from examples.voice.stage import DEVICE, Budget, adamw, autocast, descend, prepare_device, wait_for
from examples.voice.synthesise import HELD_OUT
from examples.voice.tokenizer import MAX_POSITIONS, new_tokenizer
from examples.voice.train_codec import CODEC

POLICY, FLAWED = "policy", "policy_flawed"
RATE, FLAWED_RATE = 2e-3, 8e-4
POSITIONS = 32_768
"""Of a batch."""
DROPOUT = 0.05
SHORT = 0.35
"""The first pass over the corpus is over this share of it, the shortest sentences."""
GROW_S, GROW_UNTIL = 15.0, 0.8
"""Seconds between looks for more of the corpus, and the share of the training with them."""
VALIDATION = 96


def main() -> None:
    """Train, and write the policy's folder."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--flawed", action="store_true")
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--positions", type=int, default=POSITIONS)
    parser.add_argument("--shards", type=int, default=128, help="shards of tokens to wait for")
    parser.add_argument("--small", action="store_true", help="a policy to try the stages with")
    given = parser.parse_args()
    prepare_device()
    wait_for(given.work / TOKENS, "*.npz", given.shards, given.work / ALL_TOKENS)
    if given.flawed:
        wait_for(given.work, ALL_TOKENS)
        wait_for(given.work, f"{POLICY}/model.safetensors")
    tokenizer, model = begin(given.work, again=given.flawed, small=given.small)
    prompts = Prompts(tokenizer, read_codec(given.work / CODEC).config.codebook_size)
    corpus, batches = SpokenCorpus.of(given.work), Batches(prompts, given.positions)
    budget = Budget("flawed policy" if given.flawed else "policy", given.steps, given.seconds)
    validation = held_out_batch(given.work, prompts)
    if given.flawed:
        batches.add(*flawed(corpus.texts, corpus.tokens))
        train(model, batches, None, budget, FLAWED_RATE, validation)
    else:
        batches.add(corpus.texts, corpus.tokens)
        train(model, batches, corpus, budget, RATE, validation)
    save(model, tokenizer, given.work / (FLAWED if given.flawed else POLICY))


def begin(
    work: Path, *, again: bool, small: bool
) -> tuple[PreTrainedTokenizerFast, LlamaForCausalLM]:
    """Random weights, or those of WORK/policy."""
    if not again:
        tokenizer = new_tokenizer(read_codec(work / CODEC).config.codebook_size)
        return tokenizer, on_device(new_model(tokenizer, small=small))
    tokenizer = AutoTokenizer.from_pretrained(work / POLICY)
    model = LlamaForCausalLM.from_pretrained(work / POLICY, dtype=torch.float32)
    with_dropout(model)
    return tokenizer, on_device(model)


def on_device(model: LlamaForCausalLM) -> LlamaForCausalLM:
    """The model, moved there in place."""
    nn.Module.to(model, DEVICE)
    return model


def new_model(tokenizer: PreTrainedTokenizerFast, *, small: bool = False) -> LlamaForCausalLM:
    """A Llama with random weights; `small`: one to try the stages with."""
    special: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    size, layers, heads = (64, 2, 2) if small else (320, 6, 5)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size,
        intermediate_size=12 * size // 5,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        **special,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**special, do_sample=True)
    for name, weight in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            weight.data /= (2 * layers) ** 0.5
    with_dropout(model)
    return model


def with_dropout(model: LlamaForCausalLM) -> None:
    """Drop some of what attention and MLPs add, in training: transformers' Llama cannot itself."""

    def drop(module: nn.Module, _: object, out: Tensor) -> Tensor:
        return F.dropout(out, DROPOUT, module.training)

    for name, module in model.named_modules():
        if name.endswith(("o_proj", "down_proj")):
            module.register_forward_hook(drop)


def train(
    model: LlamaForCausalLM,
    batches: Batches,
    corpus: SpokenCorpus | None,
    budget: Budget,
    rate: float,
    validation: tuple[Tensor, Tensor],
) -> None:
    """Cross-entropy of the responses; takes in what of the corpus comes meanwhile."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() == 2], "weight_decay": 0.1},
        {"params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = adamw(groups, rate, 0.9, 0.95, decay=0.0)
    short = float(np.quantile(batches.lengths, SHORT)) if corpus is not None else np.inf
    coming, grown_s = batches.epoch(short), 0.0
    model.train()
    for _ in budget.run([optimizer], rate):
        batch = next(coming, None)
        if batch is None:
            coming = batches.epoch()
            batch = next(coming)
        descend(optimizer, parameters, loss_of(model, *batch), clip=1.0)
        if budget.due():
            budget.tell(
                f"held-out loss {held_out_loss(model, validation):.3f}  "
                f"{len(batches.lengths)} sequences, {batches.positions / 1e6:.1f} M positions"
            )
        growing = corpus is not None and budget.share < GROW_UNTIL
        if corpus is not None and growing and budget.elapsed_s - grown_s > GROW_S:
            known = len(corpus.texts)
            corpus.refresh()
            batches.add(corpus.texts[known:], corpus.tokens[known:])
            if len(corpus.texts) > known:
                coming = batches.epoch()
            grown_s = budget.elapsed_s
    budget.tell(f"held-out loss {held_out_loss(model, validation):.4f}")


def loss_of(model: LlamaForCausalLM, ids: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of the responses' tokens. Padding is at the ends: no mask is needed."""
    with autocast():
        hidden = model.model(ids, use_cache=False).last_hidden_state[:, :-1]
        wanted = targets[:, 1:]
        logits = model.lm_head(hidden[wanted != IGNORED])
    return F.cross_entropy(logits.float(), wanted[wanted != IGNORED])


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, validation: tuple[Tensor, Tensor]) -> float:
    """Nats per speech token of held-out recordings."""
    model.eval()
    loss = loss_of(model, *validation).item()
    model.train()
    return loss


def held_out_batch(work: Path, prompts: Prompts) -> tuple[Tensor, Tensor]:
    """Some held-out recordings as one batch."""
    (path,) = wait_for(work, f"{HELD_OUT}.npz")
    shard = read_shard(path)
    rows = list(range(min(VALIDATION, len(shard.ends))))
    codec = read_codec(work / CODEC).eval()
    tokens, of_text = encode(codec, [shard.recordings()[i] for i in rows], rows, shifts=1)
    texts = held_out_texts()
    batches = Batches(prompts, POSITIONS)
    batches.add([texts[i] for i in of_text], tokens)
    return batches.batch(np.arange(len(rows)))


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a Hugging Face folder, its weights in bfloat16; it is there whole or not at all."""
    half = folder.with_name(f".{folder.name}")
    shutil.rmtree(half, ignore_errors=True)
    model.bfloat16().save_pretrained(half)
    tokenizer.save_pretrained(half)
    shutil.rmtree(folder, ignore_errors=True)
    half.rename(folder)


if __name__ == "__main__":
    main()
