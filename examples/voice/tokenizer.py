"""The policy's tokenizer: Llasa's markers, one token per character, one per speech token."""

from __future__ import annotations

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AddedToken, PreTrainedTokenizerFast

from examples.tiny.vocabulary import BOILERPLATE, LLAMA_3_SPLIT, MARKERS
from ttsrl.families.llasa import CHAT_TEMPLATE, SPEECH_END

MAX_POSITIONS = 1_024
ROLES = ["system", "user", "assistant", "\n\n"]
SAID_ALIKE = [
    ("\N{LEFT SINGLE QUOTATION MARK}", "'"),
    ("\N{RIGHT SINGLE QUOTATION MARK}", "'"),
    (Regex('["\N{LEFT DOUBLE QUOTATION MARK}\N{RIGHT DOUBLE QUOTATION MARK}()]'), ""),
    (Regex("!+"), "."),
    (Regex("[;:]"), ","),
    (Regex(" *[\N{EN DASH}\N{EM DASH}] *"), ", "),
    (Regex("(?<=[a-zA-Z])-(?=[a-zA-Z])"), " "),
    (Regex("\\s*\\.{3,}|\N{HORIZONTAL ELLIPSIS}"), ","),
]
"""What the voice has not read, and what it has read that is said in the same way."""


def new_tokenizer(codebook_size: int) -> PreTrainedTokenizerFast:
    """Llama 3's splitting, and bytes that are never merged; text is read in lower case."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    whole = ["".join(piece for piece, _ in byte_level.pre_tokenize_str(role)) for role in ROLES]
    vocabulary = {token: i for i, token in enumerate([*alphabet, *whole])}
    characters = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    characters.normalizer = normalizers.Sequence(
        [*(normalizers.Replace(a, b) for a, b in SAID_ALIKE), normalizers.Lowercase()]
    )
    characters.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA_3_SPLIT), "isolated"), byte_level]
    )
    characters.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=characters,
        bos_token="<|begin_of_text|>",
        eos_token=SPEECH_END,
        pad_token="<|end_of_text|>",
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=MAX_POSITIONS,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": MARKERS})
    # Ordinary tokens: verl and vLLM drop special ones when they decode a response.
    ordinary = [*BOILERPLATE, *(f"<|s_{i}|>" for i in range(codebook_size))]
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in ordinary])
    return tokenizer
