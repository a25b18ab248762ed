"""Llasa: a Llama LM over text and XCodec2 tokens <|s_0|>, <|s_1|>, ... with Llama-3.2's markers.

Prompt format: HKUSTAudio/Llasa-1B's model card and channel-io's GRPO recipe, with the date of
Llama-3.2's system header pinned, because a prompt that changes daily is another prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ttsrl.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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


class Llasa:
    """Llasa-1B, 3B, 8B, their fine-tunes, and the tiny stack's policy."""

    chat_template = CHAT_TEMPLATE

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, codebook_size: int | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.speech_token_ids = _speech_token_ids(tokenizer, codebook_size)
        end = tokenizer.convert_tokens_to_ids(SPEECH_END)
        self.stop_token_ids = [int(end)]  # pyright: ignore[reportArgumentType]

    @staticmethod
    def messages(text: str) -> list[dict[str, str]]:
        """The chat that asks for `text` to be spoken. Raises BadInput for markers in the text."""
        if marker := re.search(r"<\|[^|]*\|>", text):
            raise BadInput(
                f"the text contains {marker[0]!r}, which the model would take for one of its own "
                "markers; leave it out"
            )
        content = f"Convert the text to speech:{TEXT_START}{text}{TEXT_END}"
        return [{"role": "user", "content": content}]

    def prompt_ids(self, text: str) -> list[int]:
        """Token ids of the prompt, [T]: template rendered here, no special token added after."""
        rendered = self.tokenizer.apply_chat_template(  # pyright: ignore[reportUnknownMemberType]
            self.messages(text),
            chat_template=self.chat_template,
            add_generation_prompt=True,
            tokenize=False,
        )
        return self.tokenizer.encode(  # pyright: ignore[reportUnknownMemberType]
            str(rendered), add_special_tokens=False
        )

    def speech_tokens(self, response_ids: Sequence[int]) -> tuple[list[int], bool]:
        """Response ids -> (speech tokens with -1 for strangers, whether an end token came)."""
        ids = list(response_ids)
        finished = any(i in self.stop_token_ids for i in ids)
        if finished:
            ids = ids[: next(k for k, i in enumerate(ids) if i in self.stop_token_ids)]
        first = self.speech_token_ids.start
        return [i - first if i in self.speech_token_ids else -1 for i in ids], finished


def _speech_token_ids(tokenizer: PreTrainedTokenizerBase, codebook_size: int | None) -> range:
    """The ids of <|s_N|>: ordinary, contiguous, in order, and as many as the codebook has codes."""
    vocabulary = tokenizer.get_vocab()
    missing = [t for t in (SPEECH_START, SPEECH_END, TEXT_START, TEXT_END) if t not in vocabulary]
    if missing:
        raise ValueError(f"not a Llasa tokenizer: it lacks {', '.join(missing)}")
    id_of = {
        int(m[1]): i for t, i in vocabulary.items() if (m := re.fullmatch(r"<\|s_(\d+)\|>", t))
    }
    if not id_of:
        raise ValueError("not a Llasa tokenizer: it has no speech tokens <|s_0|>, <|s_1|>, ...")
    first, count = id_of.get(0, -1), len(id_of)
    if any(id_of.get(n) != first + n for n in range(count)):
        raise ValueError(
            f"the tokenizer's {count} speech tokens <|s_N|> are not contiguous from <|s_0|>; "
            "re-add them in one block"
        )
    special = sorted(set(tokenizer.all_special_ids) & set(range(first, first + count)))
    if special:
        raise ValueError(
            f"{len(special)} speech tokens are registered as special, first {special[0]}: verl and "
            "vLLM drop special tokens; add them with special=False"
        )
    if codebook_size is not None and codebook_size != count:
        raise ValueError(
            f"the tokenizer has {count} speech tokens but the codec's codebook has {codebook_size} "
            "codes; use the codec that the model was trained with"
        )
    return range(first, first + count)
