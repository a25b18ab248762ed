"""Which token ids are a family's speech tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ttsrl.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class NotOfFamily(BadInput):
    """A tokenizer is not one of the family that it was to be read as."""


@dataclass(frozen=True)
class SpeechVocabulary:
    """How a family's speech tokens are written."""

    form: str = "<|s_{}|>"
    """A number stands for {}."""
    first: int = 0
    """The number of speech token 0: those below are other tokens of the same form."""
    count: int | None = None
    """How many there are, where the vocabulary may have more tokens of that form; None: all."""
    frame_tokens: int = 1
    """Tokens of a frame, each out of its own part of the codebook; see ttsrl.families.frames."""

    def written(self, token: int) -> str:
        """A speech token as the vocabulary has it."""
        return self.form.format(self.first + token)

    def ids(
        self, tokenizer: PreTrainedTokenizerBase, title: str, codebook_size: int | None
    ) -> range:
        """Their ids: ordinary, contiguous, in order, and as many as the codebook has codes.

        Raises BadInput.
        """
        id_of = self._ids_of_numbers(tokenizer)
        if not id_of:
            raise NotOfFamily(
                f"not a tokenizer of {title}: it has no speech tokens {self.written(0)}, "
                f"{self.written(1)}, ..."
            )
        first, count = id_of.get(0, -1), self.count or len(id_of)
        if any(id_of.get(n) != first + n for n in range(count)):
            raise BadInput(
                f"the tokenizer's {len(id_of)} speech tokens {self.form.format('N')} are not "
                f"contiguous from {self.written(0)} to {self.written(count - 1)}"
                f"{self._places()}; re-add them in one block"
            )
        # not all_special_ids, which knows no token that add_tokens(special_tokens=True) has added
        added = tokenizer.added_tokens_decoder
        special = [n for n in range(first, first + count) if n in added and added[n].special]
        if special:
            raise BadInput(
                f"{len(special)} speech tokens are registered as special, first {special[0]}: verl "
                "and vLLM drop special tokens; add them with special=False"
            )
        if codebook_size is not None:
            check_codebook(count, codebook_size)
        return range(first, first + count)

    def _ids_of_numbers(self, tokenizer: PreTrainedTokenizerBase) -> dict[int, int]:
        before, after = map(re.escape, self.form.split("{}"))
        pattern = re.compile(f"{before}(\\d+){after}")
        numbered = (
            (int(m[1]) - self.first, i)
            for token, i in tokenizer.get_vocab().items()
            if (m := pattern.fullmatch(token))
        )
        return {n: i for n, i in numbered if 0 <= n < (self.count or n + 1)}

    def _places(self) -> str:
        if self.frame_tokens == 1:
            return ""
        return f", {(self.count or 0) // self.frame_tokens} for each place of a frame"


def check_codebook(count: int, codebook_size: int) -> None:
    """Raise BadInput unless a tokenizer has as many speech tokens as the codec has codes."""
    if codebook_size != count:
        raise BadInput(
            f"the tokenizer has {count} speech tokens but the codec's codebook has {codebook_size} "
            "codes; use the codec that the model was trained with"
        )
