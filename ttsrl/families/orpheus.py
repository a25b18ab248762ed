"""Orpheus: a Llama-3.2 that answers in SNAC's codes, seven tokens <custom_token_N> a frame.

Prompt format: `_format_prompt` and finetune/ of canopyai/Orpheus-TTS. The published models are
told a voice before the text, as in "tara: Hello."; it is what a text's style says here.
"""

from __future__ import annotations

from ttsrl.errors import BadInput
from ttsrl.families.conditions import Conditions, VoiceReference
from ttsrl.families.speech_ids import SpeechVocabulary
from ttsrl.families.templated import TemplatedFamily
from ttsrl.records.sampling import Sampling

SPEECH_START, SPEECH_END = "<custom_token_1>", "<custom_token_2>"
HUMAN_START, HUMAN_END, ANSWER_START = "<custom_token_3>", "<custom_token_4>", "<custom_token_5>"
TEXT_START, TEXT_END = "<|begin_of_text|>", "<|eot_id|>"

CHAT_TEMPLATE = (
    HUMAN_START + TEXT_START + "{{ messages[0]['content'] }}" + TEXT_END + HUMAN_END
    + ANSWER_START + SPEECH_START
)  # fmt: skip


class Orpheus(TemplatedFamily):
    """canopylabs/orpheus-3b-0.1-ft and its fine-tunes, with hubertsiuzdak/snac_24khz."""

    title = "Orpheus"
    chat_template = CHAT_TEMPLATE
    inference = Sampling(temperature=0.6, top_p=0.8, max_speech_tokens=1200)
    """`generate_tokens_sync` of its package, but for the repetition penalty of 1.3: training has
    none."""
    markers = (HUMAN_START, TEXT_START, TEXT_END, HUMAN_END, ANSWER_START, SPEECH_START)
    stops = (SPEECH_END,)
    codecs = frozenset(["snac"])
    speech = SpeechVocabulary("<custom_token_{}>", first=10, count=7 * 4096, frame_tokens=7)
    styled_request = "{style}: {text}"
    """The style is the name of a voice: tara, leah, jess, leo, dan, mia, zac or zoe in English."""
    markup = frozenset(
        f"<{tag}>"
        for tag in ("laugh", "chuckle", "sigh", "cough", "sniffle", "groan", "yawn", "gasp")
    )

    @classmethod
    def continued(cls, conditions: Conditions) -> VoiceReference | None:
        """None: its models have learned voices. Raises BadInput for a recording."""
        if conditions.reference is not None:
            raise BadInput(
                f"{cls.title} was not taught to continue a recording, and a text or a suite gives "
                "it one; its voice is told in words, as the text's style"
            )
        return None


class Maya1(Orpheus):
    """maya-research/maya1: the same prompt, with a description of the voice before the text."""

    title = "Maya1"
    inference = Sampling(temperature=0.4, top_p=0.9, max_speech_tokens=2048)
    """Its model card's, but for the repetition penalty."""
    styled_request = '<description="{style}"> {text}'
    markup = frozenset(
        f"<{tag}>"
        for tag in (
            "laugh", "laugh_harder", "sigh", "chuckle", "gasp", "angry", "excited", "whisper",
            "cry", "scream", "sing", "snort", "exhale", "gulp", "giggle", "sarcastic", "curious",
        )
    )  # fmt: skip
