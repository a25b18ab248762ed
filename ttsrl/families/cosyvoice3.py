"""CosyVoice3's own LM: CosyVoice2's with an instruction before every text, in nine languages.

As a Hugging Face folder that `ttsrl convert` makes of the official checkpoint; ids and template are
those of runtime/triton_trtllm/scripts/convert_cosyvoice3_to_hf.py in FunAudioLLM/CosyVoice, so that
its folders are accepted too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ttsrl.errors import BadInput, shorten
from ttsrl.families.conditions import Conditions, PromptConfig
from ttsrl.families.cosyvoice2 import INSTRUCTION_END, START, TASK, CosyVoice2
from ttsrl.families.cosyvoice3_phonemes import PHONEMES
from ttsrl.families.speech_ids import SpeechVocabulary
from ttsrl.records.sampling import Sampling
from ttsrl.text.markup import marks_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STOP, FILL = "<|eos1|>", "<|fill|>"
CODEBOOK_SIZE = 6561
AFTER_CODEBOOK = (START, STOP, TASK, FILL, *(f"<|s_{n}|>" for n in range(6565, 6761)))
"""Rows of its speech embedding and its head after the codebook; most are not used."""
ASSISTANT = "You are a helpful assistant."
"""What every instruction of its training begins with (example.py, cosyvoice/utils/common.py)."""


class CosyVoice3(CosyVoice2):
    """Fun-CosyVoice3-0.5B and its fine-tunes."""

    title = "CosyVoice3"
    inference = Sampling(temperature=1.0, top_p=0.8, top_k=25, max_speech_tokens=2048)
    """cosyvoice3.yaml, without its repetition-aware sampling."""
    markers = (START, TASK, FILL, INSTRUCTION_END)
    stops = (STOP,)
    """Upstream ends at each of the 200 tokens after the codebook, of which training has this one
    alone at the end of speech."""
    codecs = frozenset(["cosyvoice3"])
    speech = SpeechVocabulary(count=CODEBOOK_SIZE)
    languages = frozenset(["zh", "yue", "en", "ja", "ko", "de", "es", "fr", "it", "ru"])
    styled_request = f"{ASSISTANT} {{style}}{INSTRUCTION_END}{{text}}"

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        codebook_size: int | None = None,
        told: PromptConfig | None = None,
    ) -> None:
        """Raises BadInput for a form without the end of an instruction, too."""
        super().__init__(tokenizer, codebook_size, told)
        for name in ("request", "styled_request"):
            form = getattr(self.told, name)
            if form is not None and INSTRUCTION_END not in form:
                raise BadInput(
                    f"prompt.{name} = {form!r} has no {INSTRUCTION_END}, without which CosyVoice3 "
                    f"takes no text; put it behind the instruction: {self.request('{text}')!r}"
                )

    @classmethod
    def request(cls, text: str) -> str:
        """The text after the instruction without which CosyVoice3 speaks nothing."""
        return f"{ASSISTANT}{INSTRUCTION_END}{text}"

    @classmethod
    def parted(cls, text: str, conditions: Conditions) -> tuple[str, Conditions]:
        """An instruction that stands before the text is its style, without what all begin with."""
        instruction, end, words = text.rpartition(INSTRUCTION_END)
        own = instruction.removeprefix(ASSISTANT).strip()
        return super().parted(own + end + words if own else words, conditions)

    @classmethod
    def _check(cls, told: str, what: str, markers: frozenset[str] | None = None) -> None:
        if pronounced := [mark for mark in marks_in(told) if mark in PHONEMES]:
            raise BadInput(
                f"the {what} {shorten(told)} has the pronunciation {pronounced[0]}: it is heard, "
                "and a reward that reads the text could not know what is right; write the word"
            )
        super()._check(told, what, markers)
