"""Where CosyVoice2's and CosyVoice3's language models differ: their tokens and rows."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from ttsrl.families.cosyvoice2 import INSTRUCTION_END, MARKUP, START, STOPS, TASK, CosyVoice2
from ttsrl.families.cosyvoice3 import AFTER_CODEBOOK, CODEBOOK_SIZE, FILL, CosyVoice3
from ttsrl.families.cosyvoice3_phonemes import PHONEMES

SPECIAL = ("<|im_start|>", "<|im_end|>", INSTRUCTION_END, *MARKUP)
"""Of cosyvoice/tokenizer/tokenizer.py, in its order, which decides the ids."""
EMBEDDING, APART, HEAD, BIAS = (
    "speech_embedding.weight",
    "llm_embedding.weight",
    "llm_decoder.weight",
    "llm_decoder.bias",
)
"""Names in an llm.pt, beside those of the Qwen2."""


@dataclass(frozen=True)
class Edition:
    """One line of checkpoints."""

    family: type[CosyVoice2]
    special: tuple[str, ...]
    """Tokens of texts that its tokenizer adds to CosyVoice-BlankEN's, in order."""
    after_codebook: tuple[str, ...]
    """Rows of the speech embedding and of the head, after the codebook's."""
    apart: tuple[str, ...]
    """Rows of an embedding of their own, `llm_embedding`."""
    biased: bool
    """Whether the head has a bias."""

    @property
    def rows(self) -> int:
        """Of the speech embedding and of the head."""
        return CODEBOOK_SIZE + len(self.after_codebook)

    @property
    def shapes(self) -> dict[str, int]:
        """Rows of the weights that are not the Qwen2's."""
        apart = {APART: len(self.apart)} if self.apart else {}
        return {EMBEDDING: self.rows, HEAD: self.rows, **apart}

    @property
    def added(self) -> list[str]:
        """Tokens that the Hugging Face folder has after those of texts."""
        codebook = [f"<|s_{n}|>" for n in range(CODEBOOK_SIZE)]
        return [*codebook, *self.after_codebook, *self.apart]


COSYVOICE2 = Edition(CosyVoice2, SPECIAL, STOPS, (START, TASK), biased=True)
COSYVOICE3 = Edition(
    CosyVoice3, (*SPECIAL, "<|endofsystem|>", *PHONEMES), AFTER_CODEBOOK, (), biased=False
)


def edition_of_weights(names: Container[str]) -> Edition:
    """By the names in an llm.pt."""
    return COSYVOICE2 if APART in names or BIAS in names else COSYVOICE3


def edition_of_tokens(vocabulary: Container[str]) -> Edition:
    """By the tokens of a Hugging Face folder."""
    return COSYVOICE3 if FILL in vocabulary else COSYVOICE2
