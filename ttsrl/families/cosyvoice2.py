"""CosyVoice2's own LM: a Qwen2 over text and 25 Hz tokens <|s_0|> to <|s_6560|>.

As a Hugging Face folder that `ttsrl convert` makes of the official checkpoint; ids and template are
those of examples/grpo/cosyvoice2 in FunAudioLLM/CosyVoice, so that a folder made by its
pretrained_to_huggingface.py is accepted too.
"""

from __future__ import annotations

from dataclasses import replace

from ttsrl.errors import BadInput, shorten
from ttsrl.families.conditions import Conditions
from ttsrl.families.templated import TemplatedFamily
from ttsrl.records.sampling import Sampling

START, TASK = "<|sos|>", "<|task_id|>"
STOPS = ("<|eos1|>", "<|eos2|>", "<|eos3|>")
INSTRUCTION_END = "<|endofprompt|>"
MARKUP = (
    "[breath]", "<strong>", "</strong>", "[noise]", "[laughter]", "[cough]", "[clucking]",
    "[accent]", "[quick_breath]", "<laughter>", "</laughter>", "[hissing]", "[sigh]",
    "[vocalized-noise]", "[lipsmack]", "[mn]",
)  # fmt: skip
"""Special tokens that a text may hold, of cosyvoice/tokenizer/tokenizer.py, in its order."""

CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'user' %}"
    "{{- '" + START + "' + message['content'] + '" + TASK + "' }}"
    "{%- elif message['role'] == 'assistant' %}"
    "{{- message['content'] }}"
    "{%- endif %}"
    "{%- endfor %}"
)


class CosyVoice2(TemplatedFamily):
    """iic/CosyVoice2-0.5B and its fine-tunes. An instruction may precede <|endofprompt|>."""

    title = "CosyVoice2"
    chat_template = CHAT_TEMPLATE
    inference = Sampling(temperature=0.8, top_p=0.95, top_k=50, max_speech_tokens=2048)
    """infer_dataset.py of examples/grpo/cosyvoice2, which made the tutorial's tables."""
    markers = (START, TASK)
    stops = STOPS
    codecs = frozenset(["cosyvoice2"])
    markers_in_text = frozenset([INSTRUCTION_END])
    markup = frozenset(MARKUP)
    languages = frozenset(["zh", "yue", "en", "ja", "ko"])
    styled_request = f"{{style}}{INSTRUCTION_END}{{text}}"
    """`inference_instruct2` of cosyvoice/cli/cosyvoice.py."""
    continues_in_style = False
    """`frontend_instruct2` of cosyvoice/cli/frontend.py drops the prompt's speech tokens."""

    @classmethod
    def parted(cls, text: str, conditions: Conditions) -> tuple[str, Conditions]:
        """An instruction that stands before the text is its style."""
        instruction, end, words = text.rpartition(INSTRUCTION_END)
        if not end:
            return text, conditions
        if conditions.style is not None:
            raise BadInput(
                f"the text {shorten(text)} holds an instruction, and has the style "
                f"{shorten(conditions.style)}; keep one of them"
            )
        return words, replace(conditions, style=instruction)

    @classmethod
    def spoken(cls, text: str) -> str:
        """The text after its instruction, without markup."""
        return super().spoken(text.rpartition(INSTRUCTION_END)[2])
