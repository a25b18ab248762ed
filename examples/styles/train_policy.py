"""The policy: a Llama in Llasa's format whose corpus is told its styles, often wrongly.

Half of the prompts have no style, and the speech is in either. Where a style stands in the prompt
the speech is in it in `TOLD_RIGHT_SHARE` of the cases, little more than half, as in a corpus whose
styles a weak classifier wrote. So the policy speaks in every style after every prompt, and prefers
the one that was asked for a little: that preference is what GRPO has to amplify.
"""

from __future__ import annotations

import random

import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from examples.styles.domain import STYLES, say, training_phrase
from examples.tiny.domain import SLOTS
from examples.tiny.train_policy import Example, fine_tune, new_model, new_tokenizer
from ttsrl.families.conditions import Conditions
from ttsrl.families.llasa import Llasa

TOLD_SHARE, TOLD_RIGHT_SHARE = 0.5, 0.6
MISSPOKEN_SHARE = 0.03
"""Of the words: another word of the same kind is said."""
WORDS = sorted({word for style in STYLES for word in style.split()})


def train(
    codebook_size: int, corpus_size: int = 8_000, steps: int = 300, batch: int = 32
) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Fine-tune random weights to answer a prompt with the speech tokens of its recording."""
    torch.manual_seed(4)
    rng = random.Random(4)
    tokenizer = new_tokenizer(codebook_size, WORDS, ["Speak in this style:"])
    family = Llasa(tokenizer, codebook_size)
    examples = [_example(family, rng) for _ in range(corpus_size)]
    model = new_model(tokenizer).train()
    fine_tune(model, examples, steps, batch, rng)
    return model.eval(), tokenizer


def _example(family: Llasa, rng: random.Random) -> Example:
    words, style = training_phrase(rng), rng.choice(STYLES)
    told = Conditions()
    if rng.random() < TOLD_SHARE:
        right = rng.random() < TOLD_RIGHT_SHARE
        told = Conditions(style if right else rng.choice([s for s in STYLES if s != style]))
    first = family.speech_token_ids.start
    tokens = say([_said(word, rng) for word in words], style)
    response = [*(first + token for token in tokens), *family.stop_token_ids]
    return Example(family.prompt_ids(" ".join(words), (), told), response)


def _said(word: str, rng: random.Random) -> str:
    slot = next(slot for slot in SLOTS if word in slot)
    return rng.choice(slot) if rng.random() < MISSPOKEN_SHARE else word
