"""The policy: a Llama of 1.5 million weights in Llasa's format, fine-tuned on a flawed corpus."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from torch.nn import functional as F
from transformers import (
    AddedToken,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from examples.tiny.corpus import CorpusRecording, corpus
from examples.tiny.domain import WORDS
from examples.tiny.training import Training
from examples.tiny.vocabulary import BOILERPLATE, LLAMA_3_SPLIT, MARKERS
from examples.tiny.word_tokens import say
from ttsrl.families.llasa import CHAT_TEMPLATE, SPEECH_END, Llasa

MAX_POSITIONS = 256


@dataclass(frozen=True)
class Example:
    """Token ids of a prompt and of its response, the end token included."""

    prompt: list[int]
    response: list[int]


def train(
    codebook_size: int, corpus_size: int = 12_000, steps: int = 600, batch: int = 32
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Fine-tune random weights to answer a prompt with the speech tokens of its recording."""
    torch.manual_seed(3)
    rng = random.Random(3)
    tokenizer = new_tokenizer(codebook_size)
    examples = tokenised(corpus(corpus_size, rng), Llasa(tokenizer, codebook_size))
    model = new_model(tokenizer).train()
    fine_tune(model, examples, steps, batch, rng)
    return model.eval(), tokenizer


def fine_tune(
    model: LlamaForCausalLM, examples: list[Example], steps: int, batch: int, rng: random.Random
) -> None:
    """Steps on random batches; the loss is of the responses alone."""
    run = Training("policy", list(model.parameters()), steps, rate=2e-3, decay=0.02)
    for _ in run.steps():
        chosen = rng.sample(examples, batch)
        ids = padded([e.prompt + e.response for e in chosen], value=0)
        targets = padded([[-100] * len(e.prompt) + e.response for e in chosen], value=-100)
        logits = model(ids, use_cache=False).logits[:, :-1]
        run.descend(speech_tokens=F.cross_entropy(logits.transpose(1, 2), targets[:, 1:]))


def tokenised(recordings: list[CorpusRecording], family: Llasa) -> list[Example]:
    """Prompts as the family makes them; a short pause ends each response."""
    first = family.speech_token_ids.start
    examples: list[Example] = []
    for recording in recordings:
        tokens = say(recording.said)
        kept = tokens[: max(1, int(recording.share * len(tokens)))]
        response = [first + t for t in kept] + family.stop_token_ids
        examples.append(Example(family.prompt_ids(recording.text), response))
    return examples


def padded(rows: list[list[int]], value: int) -> torch.Tensor:
    """Rows of one length, [B, T], filled up with `value`."""
    tensors = [torch.tensor(row) for row in rows]
    return nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)


def new_tokenizer(
    codebook_size: int, words: Sequence[str] = (), instructions: Sequence[str] = ()
) -> PreTrainedTokenizerFast:
    """Byte-level BPE as in Llama 3, each word of the domain one token, then the speech tokens.

    `words` and `instructions` are tokens, too.
    """
    bpe = Tokenizer(models.BPE(ignore_merges=True))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA_3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        [*WORDS, *(f" {word}" for word in (*WORDS, *words)), "system", "user", "assistant", "\n\n"],
        trainers.BpeTrainer(
            vocab_size=10_000,  # never reached: merging ends when each word is whole
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|begin_of_text|>",
        eos_token=SPEECH_END,
        pad_token="<|end_of_text|>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_POSITIONS,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": MARKERS})
    # Ordinary tokens: verl and vLLM drop special ones when they decode a response.
    ordinary = [*BOILERPLATE, *instructions, *(f"<|s_{i}|>" for i in range(codebook_size))]
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in ordinary])
    return tokenizer


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama with random weights, 1.5 million of them."""
    special: dict[str, Any] = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=448,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        **special,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(**special, do_sample=True)
    return model


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the policy as a Hugging Face folder, its weights in bfloat16."""
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
