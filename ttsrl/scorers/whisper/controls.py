"""Whisper's control tokens: what generation_config.json says of them, and the tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsrl.errors import BadInput
from ttsrl.models.hub import load_part
from ttsrl.scorers.whisper.byte_pairs import MULTILINGUAL, OPENAI
from ttsrl.scorers.whisper.vocabulary import refuse

if TYPE_CHECKING:
    from transformers import GenerationConfig, WhisperConfig

FILE = "generation_config.json"
COPY = "copy the file of the model that it was made from"
RULES = ("suppress_tokens", "begin_suppress_tokens", "decoder_start_token_id", "eos_token_id")
"""What older versions of transformers wrote to config.json alone."""


def generation_config(folder: Path) -> GenerationConfig:
    """What a Whisper never writes, and which languages it knows. Raises BadInput.

    Folders of 2022 and early 2023 have it in config.json.
    """
    from transformers import GenerationConfig

    if (folder / FILE).is_file():
        return load_part(GenerationConfig, folder)
    # Of the file, not of transformers' object, which has values of its own for what is not there.
    config = json.loads((folder / "config.json").read_bytes())
    if missing := [rule for rule in RULES if rule not in config]:
        raise BadInput(
            f"the Whisper at {folder} has no {FILE}, and no {missing[0]} in config.json: what it "
            f"never writes is not known; {COPY}"
        )
    return GenerationConfig(**{rule: config[rule] for rule in RULES})


def is_multilingual(generation: GenerationConfig, end: int, folder: Path) -> bool:
    """Whether a Whisper is told a language. Raises BadInput where neither its configuration nor
    its vocabulary, of which `end` is the number of text tokens, says so."""
    said = getattr(generation, "is_multilingual", None)
    if said is None and end not in OPENAI:
        raise BadInput(f"{FILE} of the Whisper at {folder} has no is_multilingual; {COPY}")
    return end == MULTILINGUAL if said is None else bool(said)


def check_controls(
    vocabulary: dict[str, int], generation: GenerationConfig, config: WhisperConfig, folder: Path
) -> None:
    """Refuse the tokenizer of another Whisper, whose ids are others. Raises BadInput."""
    said: dict[str, Any] = {
        "<|endoftext|>": _one(generation.eos_token_id),
        "<|startoftranscript|>": generation.decoder_start_token_id,
        "<|notimestamps|>": getattr(generation, "no_timestamps_token_id", None),
        **(getattr(generation, "lang_to_id", None) or {}),
    }
    tasks: dict[str, int] = getattr(generation, "task_to_id", None) or {}
    said |= {f"<|{task}|>": n for task, n in tasks.items()}
    for token, n in said.items():
        if n is not None and vocabulary.get(token, n) != n:
            refuse(
                folder,
                f"{token} has the id {vocabulary[token]} in its tokenizer, and {n} in {FILE}",
            )
    token = max(vocabulary, key=vocabulary.__getitem__)
    if vocabulary[token] >= config.vocab_size:
        refuse(
            folder,
            f"its token {token} has the id {vocabulary[token]}, beyond the model's "
            f"{config.vocab_size}",
        )


def token_ids(generation: GenerationConfig, field: str, size: int, folder: Path) -> list[int]:
    """A list of token ids below `size`, which may be missing. Raises BadInput."""
    ids: Any = getattr(generation, field, None) or []
    if wrong := [n for n in ids if not 0 <= n < size]:
        raise BadInput(
            f"{field} of the Whisper at {folder} has {wrong[0]}, and its ids are 0 to {size - 1}; "
            f"{COPY}"
        )
    return sorted(ids)


def _one(ids: Any) -> Any:
    """The only element of a list, as newer configurations have it; anything else as it is."""
    return ids[0] if isinstance(ids, list) and len(ids) == 1 else ids
