"""What families share: a chat template, and speech tokens in one block of the vocabulary.

A family's file says its template, its chat, its markers and its languages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ttsrl.errors import BadInput, shorten
from ttsrl.families.conditions import UNCONDITIONED, Conditions, PromptConfig, VoiceReference, fill
from ttsrl.families.speech_ids import NotOfFamily, SpeechVocabulary
from ttsrl.records.sampling import Sampling
from ttsrl.text.controls import check_sayable
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
    codecs: ClassVar[frozenset[str]] = frozenset()
    """Kinds of codecs (ttsrl.codecs.registry) whose tokens its models were taught."""
    of_others: ClassVar[frozenset[str]] = frozenset()
    """Tokens by which a tokenizer that has all of these is known as another family's."""
    own_beginning: ClassVar[bool] = False
    """Whether a prompt begins with what the tokenizer puts before any text, as a Llama's does."""
    markers_in_text: ClassVar[frozenset[str]] = frozenset()
    """Markers that a text may contain, because the model was trained on such texts."""
    markup: ClassVar[frozenset[str]] = frozenset()
    """Tags and events that the model understands: they are passed to it, and not heard."""
    text_joint: str = ""
    """What stands between the text of a reference and the text to speak."""
    styled_request: ClassVar[str | None] = None
    """What the user of the chat says of a text with a style; None: its models are told none."""
    continues_in_style: ClassVar[bool] = True
    """Whether a text with a style continues its reference, too; False: where it has both, the
    reference is the codec's voice and nothing else, as the authors synthesise."""
    languages: ClassVar[frozenset[str] | None] = None
    """ISO 639-1 codes that the published models speak; None: their fine-tunes speak any."""
    pronounces: ClassVar[str | None] = None
    """ISO 639-1 code of the language whose phonemes its models read; None: they read texts."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        codebook_size: int | None = None,
        told: PromptConfig | None = None,
    ) -> None:
        """`told`: how a run says that its policy is told what texts carry."""
        self.tokenizer = tokenizer
        self.told = told or PromptConfig()
        vocabulary = tokenizer.get_vocab()
        needed = [*self.markers, *self.stops]
        if missing := [token for token in dict.fromkeys(needed) if token not in vocabulary]:
            raise NotOfFamily(f"not a tokenizer of {self.title}: it lacks {', '.join(missing)}")
        if foreign := sorted(self.of_others.intersection(vocabulary)):
            raise NotOfFamily(
                f"not a tokenizer of {self.title}: it has {foreign[0]}, which another family's has"
            )
        for marker in (m for form in self.told.forms for m in MARKER.findall(form)):
            if marker not in vocabulary:
                raise BadInput(
                    f"the run's `prompt` has the marker {marker!r}, which the policy's tokenizer "
                    "lacks; correct it, or take a policy that was taught it"
                )
        self.stop_token_ids = [vocabulary[stop] for stop in self.stops]
        self.speech_token_ids = self.speech.ids(tokenizer, self.title, codebook_size)

    @property
    def allowed_in_frame(self) -> list[list[int]]:
        """The ids that each place of a frame may hold; speech ends between two frames."""
        places = self.speech.frame_tokens
        size = len(self.speech_token_ids) // places
        of_place = [[*self.speech_token_ids[k * size : (k + 1) * size]] for k in range(places)]
        return [sorted([*of_place[0], *self.stop_token_ids]), *of_place[1:]]

    def chat(self, text: str, conditions: Conditions = UNCONDITIONED) -> list[dict[str, str]]:
        """As `messages`, in the form that the run asks for."""
        return self.messages(text, conditions, self.told)

    @classmethod
    def messages(
        cls,
        text: str,
        conditions: Conditions = UNCONDITIONED,
        told: PromptConfig | None = None,
    ) -> list[dict[str, str]]:
        """The chat that asks for `text` to be spoken under the conditions.

        Raises BadInput for markers in what is told, for markup that the model does not understand,
        and for a condition that it cannot be told.
        """
        told = told or PromptConfig()
        text, conditions = cls.parted(text, conditions)
        cls._check(text, "text")
        spoken = text
        if reference := cls.continued(conditions):
            cls.check_transcript(reference.text)
            spoken = reference.text + cls.text_joint + text
        return [{"role": "user", "content": cls._request(spoken, conditions, told)}]

    @classmethod
    def check_transcript(cls, said: str) -> None:
        """Raise BadInput for what is not said in a recording, and if the models continue none."""
        cls.continued(Conditions(reference=VoiceReference(said, ())))
        what = "the text of the reference"
        check_sayable(said, what, "write what is said in the recording")
        cls._check(said, what.removeprefix("the "), markers=frozenset())

    @classmethod
    def parted(cls, text: str, conditions: Conditions) -> tuple[str, Conditions]:
        """The text and its conditions, where a text may hold a condition itself."""
        return text, conditions

    @classmethod
    def continued(cls, conditions: Conditions) -> VoiceReference | None:
        """The reference that the model is prompted with."""
        return conditions.reference if cls.continues_in_style or not conditions.style else None

    @classmethod
    def _request(cls, spoken: str, conditions: Conditions, told: PromptConfig) -> str:
        language = conditions.language
        if conditions.style is None:
            form = told.request
            read = cls.read(spoken)
            return fill(form, text=read, language=language) if form else cls.request(read)
        form = told.styled_request or cls.styled_request
        if form is None:
            raise BadInput(
                f"the text has the style {shorten(conditions.style)}, and {cls.title} is told "
                "none: it is told a text, and a recording to continue; set prompt.styled_request "
                "to the form that a fine-tune was taught, prompt.style_from to null to keep the "
                "style for the reward alone, or leave the style out"
            )
        style = told.written(conditions.style)
        if not told.styles:
            cls._check(style, "style", markers=frozenset())
        return fill(form, style=style, text=cls.read(spoken), language=language)

    @classmethod
    def _check(cls, told: str, what: str, markers: frozenset[str] | None = None) -> None:
        allowed = cls.markers_in_text if markers is None else markers
        for marker in MARKER.findall(told):
            if marker not in allowed:
                raise BadInput(
                    f"the {what} contains {marker!r}, which the model would take for one of its "
                    "own markers; leave it out"
                )
        for mark in marks_in(told):
            if mark not in cls.markup:
                known = f"; it knows {', '.join(sorted(cls.markup))}" if cls.markup else ""
                raise BadInput(
                    f"the {what} contains the markup {mark!r}, which {cls.title} does not "
                    f"understand{known}; leave it out"
                )

    @classmethod
    def spoken(cls, text: str) -> str:
        """What is heard of a text that is spoken right: it without markup."""
        return without_marks(text)

    @classmethod
    def read(cls, text: str) -> str:
        """A text as the model reads it: its words, or their phonemes."""
        return text

    @classmethod
    def request(cls, text: str) -> str:
        """What the user of the chat says."""
        return text

    def prompt_ids(
        self,
        text: str,
        speech_prefix: Sequence[int] = (),
        conditions: Conditions = UNCONDITIONED,
    ) -> list[int]:
        """Token ids of the prompt, [T]: template rendered here, no special token added after.

        `speech_prefix`: speech tokens that the speech begins with, after the reference's. Raises
        BadInput as `messages` does, IndexError for tokens outside the codebook.
        """
        rendered = self.tokenizer.apply_chat_template(
            self.chat(text, conditions),
            chat_template=self.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        ids = self.tokenizer.encode(str(rendered), add_special_tokens=self.own_beginning)
        reference = self.continued(self.parted(text, conditions)[1])
        begun = [*(reference.tokens if reference else ()), *speech_prefix]
        return [*ids, *(self.speech_token_ids[token] for token in begun)]

    def speech_tokens(self, response_ids: Sequence[int]) -> tuple[list[int], bool]:
        """Response ids -> (speech tokens, -1 outside the codebook; whether an end token came)."""
        ids = list(response_ids)
        end = next((k for k, i in enumerate(ids) if i in self.stop_token_ids), None)
        first = self.speech_token_ids.start
        return [i - first if i in self.speech_token_ids else -1 for i in ids[:end]], end is not None
