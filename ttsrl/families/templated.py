"""What families share: a chat template, and speech tokens in one block of the vocabulary.

A family's file says its template, its chat, its markers and its languages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ttsrl.errors import BadInput
from ttsrl.families.speech_ids import SpeechVocabulary
from ttsrl.records.sampling import Sampling
from ttsrl.text.markup import marks_in, without_marks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKER = re.compile(r"<\|[^|]*\|>")


class TemplatedFamily:
    """See `Family`. Building one raises BadInput for a tokenizer of another kind."""

    title: ClassVar[str]
    """Name in errors."""
    chat_template: str
    inference: ClassVar[Sampling]
    """How its authors sample when they evaluate it, with the source."""
    markers: ClassVar[Sequence[str]]
    """Tokens that the prompt is made of, beside the text's own."""
    stops: ClassVar[Sequence[str]]
    """Tokens that end the speech."""
    speech: ClassVar[SpeechVocabulary] = SpeechVocabulary()
    """How its speech tokens are written."""
    markers_in_text: ClassVar[frozenset[str]] = frozenset()
    """Markers that a text may contain, because the model was trained on such texts."""
    markup: ClassVar[frozenset[str]] = frozenset()
    """Tags and events that the model understands: they are passed to it, and not heard."""
    text_joint: str = ""
    """What stands between the text of a voice prompt and the text to speak."""
    languages: ClassVar[frozenset[str] | None] = None
    """ISO 639-1 codes that the published models speak; None: their fine-tunes speak any."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, codebook_size: int | None = None
    ) -> None:
        self.tokenizer = tokenizer
        vocabulary = tokenizer.get_vocab()
        needed = [*self.markers, *self.stops]
        if missing := [token for token in dict.fromkeys(needed) if token not in vocabulary]:
            raise BadInput(f"not a {self.title} tokenizer: it lacks {', '.join(missing)}")
        self.stop_token_ids = [vocabulary[stop] for stop in self.stops]
        self.speech_token_ids = self.speech.ids(tokenizer, self.title, codebook_size)

    @property
    def allowed_token_ids(self) -> list[int]:
        """All ids that a response may hold, in order."""
        return sorted([*self.speech_token_ids, *self.stop_token_ids])

    @property
    def allowed_in_frame(self) -> list[list[int]]:
        """The ids that each place of a frame may hold; speech ends between two frames."""
        places = self.speech.frame_tokens
        size = len(self.speech_token_ids) // places
        of_place = [[*self.speech_token_ids[k * size : (k + 1) * size]] for k in range(places)]
        return [sorted([*of_place[0], *self.stop_token_ids]), *of_place[1:]]

    @classmethod
    def messages(cls, text: str) -> list[dict[str, str]]:
        """The chat that asks for `text` to be spoken.

        Raises BadInput for markers in the text, and for markup that the model does not understand.
        """
        for marker in MARKER.findall(text):
            if marker not in cls.markers_in_text:
                raise BadInput(
                    f"the text contains {marker!r}, which the model would take for one of its own "
                    "markers; leave it out"
                )
        for mark in marks_in(text):
            if mark not in cls.markup:
                known = f"; it knows {', '.join(sorted(cls.markup))}" if cls.markup else ""
                raise BadInput(
                    f"the text contains the markup {mark!r}, which {cls.title} does not understand"
                    f"{known}; leave it out"
                )
        return [{"role": "user", "content": cls.request(text)}]

    @classmethod
    def spoken(cls, text: str) -> str:
        """What is heard of a text that is spoken right: it without markup."""
        return without_marks(text)

    @classmethod
    def request(cls, text: str) -> str:
        """What the user of the chat says."""
        return text

    def prompt_ids(self, text: str, speech_prefix: Sequence[int] = ()) -> list[int]:
        """Token ids of the prompt, [T]: template rendered here, no special token added after.

        `speech_prefix`: speech tokens that the speech begins with. Raises IndexError for those
        outside the codebook.
        """
        rendered = self.tokenizer.apply_chat_template(
            self.messages(text),
            chat_template=self.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        ids = self.tokenizer.encode(str(rendered), add_special_tokens=False)
        return [*ids, *(self.speech_token_ids[token] for token in speech_prefix)]

    def speech_tokens(self, response_ids: Sequence[int]) -> tuple[list[int], bool]:
        """Response ids -> (speech tokens, -1 outside the codebook; whether an end token came)."""
        ids = list(response_ids)
        end = next((k for k, i in enumerate(ids) if i in self.stop_token_ids), None)
        first = self.speech_token_ids.start
        return [i - first if i in self.speech_token_ids else -1 for i in ids[:end]], end is not None
