"""TTS families: prompt format and token id <-> speech token. One file a family, chosen by name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ttsrl.families.templated import TemplatedFamily

FAMILIES: dict[str, str] = {
    "llasa": "ttsrl.families.llasa:Llasa",
    "cosyvoice2": "ttsrl.families.cosyvoice2:CosyVoice2",
    "qwen2-cosy": "ttsrl.families.qwen2_cosy:Qwen2Cosy",
}
"""Name in a run -> class. A new family is its file and a row here."""


class Family(Protocol):
    """What training, evaluation and inference must agree on about one TTS line."""

    chat_template: str
    """Jinja template whose generation prompt ends where speech tokens begin."""
    stop_token_ids: list[int]
    speech_token_ids: range
    """Token ids of the codebook, in order: id = speech_token_ids[speech token]."""
    text_joint: str
    """What stands between the text of a voice prompt and the text to speak."""

    @property
    def allowed_token_ids(self) -> list[int]:
        """All ids that a response may hold: every generator is limited to them."""
        ...

    def messages(self, text: str) -> list[dict[str, str]]:
        """The chat that asks for `text` to be spoken."""
        ...

    def prompt_ids(self, text: str, speech_prefix: Sequence[int] = ()) -> list[int]:
        """Token ids of the prompt: the same in training, evaluation and inference.

        `speech_prefix`: speech tokens with which the speech begins; the model goes on from them.
        """
        ...

    def speech_tokens(self, response_ids: Sequence[int]) -> tuple[list[int], bool]:
        """Response ids -> (speech tokens with -1 for strangers, whether an end token came)."""
        ...


def load_family(
    name: str, tokenizer: PreTrainedTokenizerBase, codebook_size: int | None = None
) -> Family:
    """Build a family around a loaded tokenizer and check that its speech tokens fit the codec."""
    return family_class(name)(tokenizer, codebook_size)


def family_class(name: str) -> type[TemplatedFamily]:
    """A family's class: its template, chat and languages need no tokenizer. Raises ValueError."""
    module, _, attribute = FAMILIES[known_family(name)].partition(":")
    return getattr(import_module(module), attribute)


def known_family(name: str) -> str:
    """The name itself. Raises ValueError for one that is not in the table."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    return name
