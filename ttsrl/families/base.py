"""What every family of speech-generating language models can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ttsrl.families.conditions import UNCONDITIONED, Conditions, VoiceReference


class Family(Protocol):
    """What training, evaluation and inference must agree on about one TTS line."""

    chat_template: str
    """Jinja template whose generation prompt ends where speech tokens begin."""
    stop_token_ids: list[int]
    speech_token_ids: range
    """Token ids of the codebook, in order: id = speech_token_ids[speech token]."""

    @property
    def allowed_in_frame(self) -> list[list[int]]:
        """Ids that a response may hold, to which every generator is limited: the k-th one is of
        `allowed_in_frame[k % n]`, n being the number of places of a frame, 1 in most codebooks."""
        ...

    def chat(self, text: str, conditions: Conditions = UNCONDITIONED) -> list[dict[str, str]]:
        """The messages that ask for `text` to be spoken under the conditions."""
        ...

    def continued(self, conditions: Conditions) -> VoiceReference | None:
        """The reference that the model is prompted with; None where it is told none."""
        ...

    def spoken(self, text: str) -> str:
        """What is heard of `text` that is spoken right: it without what only guides the model."""
        ...

    def prompt_ids(
        self,
        text: str,
        speech_prefix: Sequence[int] = (),
        conditions: Conditions = UNCONDITIONED,
    ) -> list[int]:
        """Token ids of the prompt: the same in training, evaluation and inference.

        `speech_prefix`: speech tokens with which the speech begins, after those of the conditions'
        reference; the model continues from them.
        """
        ...

    def speech_tokens(self, response_ids: Sequence[int]) -> tuple[list[int], bool]:
        """Response ids -> (speech tokens, whether an end token came).

        A token outside the codebook is -1.
        """
        ...
