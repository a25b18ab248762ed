"""Whisper's control tokens: what generation_config.json says of them, and the tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttsrl.errors import BadInput
from ttsrl.scorers.whisper.vocabulary import refuse

if TYPE_CHECKING:
    from transformers import GenerationConfig, WhisperConfig

COPY = "copy the file of the model that it was made from"


def generation_config(folder: Path) -> GenerationConfig:
    """What a Whisper never writes, and which languages it knows. Raises BadInput."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(folder)
    except OSError:
        raise BadInput(
            f"the Whisper at {folder} has no generation_config.json, which says what it never "
            f"writes; {COPY}"
        ) from None


def is_multilingual(generation: GenerationConfig, folder: Path) -> bool:
    """Whether a Whisper is told a language. Raises BadInput where that is not said."""
    said = getattr(generation, "is_multilingual", None)
    if said is None:
        raise BadInput(
            f"generation_config.json of the Whisper at {folder} has no is_multilingual; {COPY}"
        )
    return bool(said)


def check_controls(
    vocabulary: dict[str, int], generation: GenerationConfig, config: WhisperConfig, folder: Path
) -> None:
    """Refuse the tokenizer of another Whisper, whose ids are others. Raises BadInput."""
    said: dict[str, Any] = {
        "<|endoftext|>": generation.eos_token_id,
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
                f"{token} has the id {vocabulary[token]} in its tokenizer, and {n} in "
                "generation_config.json",
            )
    token = max(vocabulary, key=vocabulary.__getitem__)
    if vocabulary[token] >= config.vocab_size:
        refuse(
            folder,
            f"its token {token} has the id {vocabulary[token]}, beyond the model's "
            f"{config.vocab_size}",
        )


def token_ids(generation: GenerationConfig, field: str) -> list[int]:
    """A list of token ids, which may be missing."""
    value: Any = getattr(generation, field, None)
    return sorted(value or [])
