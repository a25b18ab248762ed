"""Text to ids as openai-whisper's own encoder does: byte-pair encoding whose ids are ranks.

Of the neighbours in a word, those whose joined bytes have the lowest id are merged first. So the
ids of a text follow from the vocabulary alone. The merges that a folder lists too are not read:
some published ones lack the first, and with them every word that begins with t gets other ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ttsrl.scorers.whisper.vocabulary import refuse

if TYPE_CHECKING:
    from tiktoken import Encoding

WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What is merged only within itself, of whisper/tokenizer.py."""

ENGLISH_ONLY, MULTILINGUAL = 50_256, 50_257
"""Numbers of text tokens of OpenAI's two vocabularies."""
OPENAI = {
    ENGLISH_ONLY: "a05c98a9bb6636f0d0778ef0e593770bac1befc392db5f1156cc5714b8afa64f",
    MULTILINGUAL: "2a854297cfb00933f09f9c868f6538c2ef00770fd5175f98965ab31a136a403e",
}
"""`digest_of` each of them."""


def text_encoding(
    vocabulary: dict[str, int], end: int, words: Mapping[str, int], folder: Path
) -> Encoding:
    """For the tokens with ids below `end`: encodes text alone, never a control token.

    `words`: tokens that a fine-tune added, found in a text before it is divided. Raises BadInput
    for what is not a byte-level BPE in the order of ranks.
    """
    import tiktoken

    ranks = ranks_of(vocabulary, end, folder)
    _check(ranks, folder)
    if end in OPENAI and digest_of(ranks) != OPENAI[end]:
        refuse(
            folder,
            f"it has {end} text tokens, as many as OpenAI's Whisper, but not the same ones in the "
            "same order",
        )
    return tiktoken.Encoding(
        "whisper", pat_str=WORDS, mergeable_ranks=ranks, special_tokens=dict(words)
    )


def ranks_of(vocabulary: dict[str, int], end: int, folder: Path) -> dict[bytes, int]:
    """The bytes of each text token and its id, in the order of ids. Raises BadInput."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    texts = sorted((n, token) for token, n in vocabulary.items() if n < end)
    if [n for n, _ in texts] != list(range(end)):
        refuse(
            folder,
            f"{end} ids come before that of the end token, and {len(texts)} of them have a token",
        )
    for _, token in texts:
        if not byte_of.keys() >= set(token):
            refuse(folder, f"its token {token!r} is not written in the byte alphabet of GPT-2")
    return {bytes(byte_of[character] for character in token): n for n, token in texts}


def digest_of(tokens: Iterable[bytes]) -> str:
    """SHA-256 over tokens and their lengths."""
    content = b"".join(len(token).to_bytes(2, "big") + token for token in tokens)
    return hashlib.sha256(content).hexdigest()


def _check(ranks: dict[bytes, int], folder: Path) -> None:
    """Every byte has a token, and every longer token is made of two that have lower ids."""
    for byte in range(256):
        if bytes([byte]) not in ranks:
            refuse(folder, f"it has no token for the byte {byte:#04x}")
    for token, n in ranks.items():
        halves = ((token[:at], token[at:]) for at in range(1, len(token)))
        if len(token) > 1 and not any(
            ranks.get(a, n) < n and ranks.get(b, n) < n for a, b in halves
        ):
            refuse(
                folder,
                f"its token {token.decode(errors='replace')!r} has the id {n} and is not made of "
                "two with lower ids, so ids are not the ranks of byte-pair encoding",
            )
