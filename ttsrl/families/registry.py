"""TTS families by name: prompt format and token id <-> speech token. One file per family."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ttsrl.families.base import Family
from ttsrl.families.conditions import PromptConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ttsrl.families.templated import TemplatedFamily

FAMILIES: dict[str, str] = {
    "llasa": "ttsrl.families.llasa:Llasa",
    "cosyvoice2": "ttsrl.families.cosyvoice2:CosyVoice2",
    "cosyvoice3": "ttsrl.families.cosyvoice3:CosyVoice3",
    "qwen2-cosy": "ttsrl.families.qwen2_cosy:Qwen2Cosy",
    "neutts": "ttsrl.families.neutts:NeuTts",
    "neutts-de": "ttsrl.families.neutts:NeuTtsGerman",
    "neutts-es": "ttsrl.families.neutts:NeuTtsSpanish",
    "neutts-fr": "ttsrl.families.neutts:NeuTtsFrench",
    "neutts-2e": "ttsrl.families.neutts:NeuTts2E",
    "orpheus": "ttsrl.families.orpheus:Orpheus",
    "maya1": "ttsrl.families.orpheus:Maya1",
}
"""Name in a run -> class. A new family is its file and a row here."""


def load_family(
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    codebook_size: int | None = None,
    told: PromptConfig | None = None,
) -> Family:
    """Build a family around a loaded tokenizer and check that its speech tokens fit the codec.

    `told`: the run's `prompt`. Raises BadInput.
    """
    return family_class(name)(tokenizer, codebook_size, told)


def family_class(name: str) -> type[TemplatedFamily]:
    """A family's class: its template, chat and languages need no tokenizer. Raises ValueError."""
    module, _, attribute = FAMILIES[known_family(name)].partition(":")
    return getattr(import_module(module), attribute)


def known_family(name: str) -> str:
    """The name itself. Raises ValueError for one that is not in the table."""
    if name not in FAMILIES:
        raise ValueError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
    return name
