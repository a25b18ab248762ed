"""What families share: a chat template, and speech tokens <|s_0|>, <|s_1|>, ... in the vocabulary.

A family's file says its template, its chat, its markers and its languages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ttsrl.errors import BadInput
from ttsrl.records.sampling import Sampling
from ttsrl.text.markup import marks_in, without_marks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKER = re.compile(r"<\|[^|]*\|>")
SPEECH_TOKEN = re.compile(r"<\|s_(\d+)\|>")


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
        self.speech_token_ids = speech_token_ids(tokenizer, self.title, codebook_size)

    @property
    def allowed_token_ids(self) -> list[int]:
        """All ids that a response may hold, in order."""
        return sorted([*self.speech_token_ids, *self.stop_token_ids])

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


def speech_token_ids(
    tokenizer: PreTrainedTokenizerBase, title: str, codebook_size: int | None
) -> range:
    """The ids of <|s_N|>: ordinary, contiguous, in order, and as many as the codebook has codes.

    Raises BadInput.
    """
    id_of = {
        int(m[1]): i for t, i in tokenizer.get_vocab().items() if (m := SPEECH_TOKEN.fullmatch(t))
    }
    if not id_of:
        raise BadInput(f"not a {title} tokenizer: it has no speech tokens <|s_0|>, <|s_1|>, ...")
    first, count = id_of.get(0, -1), len(id_of)
    if any(id_of.get(n) != first + n for n in range(count)):
        raise BadInput(
            f"the tokenizer's {count} speech tokens <|s_N|> are not contiguous from <|s_0|>; "
            "re-add them in one block"
        )
    # not all_special_ids, which knows no token that add_tokens(special_tokens=True) has added
    added = tokenizer.added_tokens_decoder
    special = [n for n in range(first, first + count) if n in added and added[n].special]
    if special:
        raise BadInput(
            f"{len(special)} speech tokens are registered as special, first {special[0]}: verl and "
            "vLLM drop special tokens; add them with special=False"
        )
    if codebook_size is not None:
        check_codebook(count, codebook_size)
    return range(first, first + count)


def check_codebook(count: int, codebook_size: int) -> None:
    """Raise BadInput unless a tokenizer has as many speech tokens as the codec has codes."""
    if codebook_size != count:
        raise BadInput(
            f"the tokenizer has {count} speech tokens but the codec's codebook has {codebook_size} "
            "codes; use the codec that the model was trained with"
        )
