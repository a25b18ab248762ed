"""A Qwen2 fine-tuned to speak CosyVoice2's 25 Hz tokens <|s_0|> to <|s_6560|>.

Such as yuekai/llasa_cosyvoice2_token_qwen_0.5b, the base of the best results of the CosyVoice2 GRPO
tutorial. Prompt format: the template with which mair-hub trains by GRPO and evaluates
(rl-tutorial/cosyvoice_llm), which has no system message; the speech ends as Qwen2 ends any answer.
The model's own training in icefall puts the speech tokens in the place of
<|SPEECH_GENERATION_START|>, so that it first meets this marker in mair-hub's template.
"""

from __future__ import annotations

from ttsrl.families.templated import TemplatedFamily
from ttsrl.records.sampling import Sampling

SPEECH_START = "<|SPEECH_GENERATION_START|>"
TURN_START, TURN_END = "<|im_start|>", "<|im_end|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '"
    + TURN_START
    + "' + message['role'] + '\\n' + message['content'] + '"
    + TURN_END
    + "\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '" + TURN_START + "assistant\\n" + SPEECH_START + "' }}"
    "{% endif %}"
)


class Qwen2Cosy(TemplatedFamily):
    """Qwen2 and Qwen2.5 fine-tuned on CosyVoice2's tokens."""

    title = "Qwen2 with CosyVoice2 tokens"
    chat_template = CHAT_TEMPLATE
    inference = Sampling(temperature=0.8, top_p=0.95, top_k=50, max_speech_tokens=2048)
    """infer_dataset.py of mair-hub's cosyvoice_llm, which made its tables."""
    markers = (TURN_START, SPEECH_START)
    stops = (TURN_END,)
    codecs = frozenset(["cosyvoice2"])

    @classmethod
    def request(cls, text: str) -> str:
        """What the user of the chat says."""
        return f"Convert the text to speech: {text}"
