"""Llasa: a Llama LM over text and XCodec2 tokens <|s_0|>, <|s_1|>, ... with Llama-3.2's markers.

Prompt format: HKUSTAudio/Llasa-1B's model card and channel-io's GRPO recipe, with the date of
Llama-3.2's system header pinned, because a prompt that changes daily is another prompt.
"""

from __future__ import annotations

from ttsrl.families.templated import TemplatedFamily
from ttsrl.records.sampling import Sampling

DATE = "26 Jul 2024"
SPEECH_START = "<|SPEECH_GENERATION_START|>"
SPEECH_END = "<|SPEECH_GENERATION_END|>"
TEXT_START = "<|TEXT_UNDERSTANDING_START|>"
TEXT_END = "<|TEXT_UNDERSTANDING_END|>"

CHAT_TEMPLATE = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
    "Cutting Knowledge Date: December 2023\nToday Date: " + DATE + "\n\n<|eot_id|>"
    "{% for message in messages %}"
    "<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    "{{ message['content'] | trim }}<|eot_id|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "<|start_header_id|>assistant<|end_header_id|>\n\n" + SPEECH_START + "{% endif %}"
)


class Llasa(TemplatedFamily):
    """Llasa-1B, 3B, 8B, 1B-Multilingual, their fine-tunes, and the tiny stack's policy."""

    title = "Llasa"
    chat_template = CHAT_TEMPLATE
    inference = Sampling(temperature=0.8, top_k=50, max_speech_tokens=2048)
    """HKUSTAudio/Llasa-1B's model card: temperature 0.8 and top_p 1; top_k is that of transformers'
    `generate`, with which it samples."""
    markers = (SPEECH_START, TEXT_START, TEXT_END)
    stops = (SPEECH_END,)
    codecs = frozenset(["xcodec2"])
    text_joint = " "
    styled_request = (
        f"Speak in this style: {{style}}\nConvert the text to speech:{TEXT_START}{{text}}{TEXT_END}"
    )
    """An instruction before the words of every prompt of its training. The published models were
    taught none: it is what a policy learns in GRPO, or what its fine-tune had."""

    @classmethod
    def request(cls, text: str) -> str:
        """What the user of the chat says."""
        return f"Convert the text to speech:{TEXT_START}{text}{TEXT_END}"
