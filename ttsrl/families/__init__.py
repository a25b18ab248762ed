"""TTS families: prompt format and token id <-> speech token. One file a family, chosen by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ttsrl.families.llasa import Llasa


class Family(Protocol):
    """What training, evaluation and inference must agree on about one TTS line."""

    chat_template: str
    """Jinja template whose generation prompt ends where speech tokens begin."""
    stop_token_ids: list[int]
    speech_token_ids: range
    """Token ids of the codebook, in order: id = speech_token_ids[speech token]."""

    def messages(self, text: str) -> list[dict[str, str]]:
        """The chat that asks for `text` to be spoken."""
        ...

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of the prompt: the same in training, evaluation and inference."""
        ...

    def speech_tokens(self, response_ids: Sequence[int]) -> tuple[list[int], bool]:
        """Response ids -> (speech tokens with -1 for strangers, whether an end token came)."""
        ...


def load_family(
    name: str, tokenizer: PreTrainedTokenizerBase, codebook_size: int | None = None
) -> Family:
    """Build a family around a loaded tokenizer and check that its speech tokens fit the codec."""
    return _family(name)(tokenizer, codebook_size)


def chat_of(name: str) -> Callable[[str], list[dict[str, str]]]:
    """A family's `messages`, for which no tokenizer is needed."""
    return _family(name).messages


def _family(name: str) -> type[Llasa]:
    match name:
        case "llasa":
            from ttsrl.families.llasa import Llasa

            return Llasa
        case _:
            raise ValueError(f"unknown family {name!r}; known: llasa")
