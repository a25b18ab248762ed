"""What a small tokenizer in Llasa's format has: Llama 3's splitting, the markers, whole phrases."""

from __future__ import annotations

from ttsrl.families.llasa import DATE

LLAMA_3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MARKERS = [
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    *(
        f"<|{kind}_{edge}|>"
        for kind in (
            "TEXT_GENERATION",
            "TEXT_UNDERSTANDING",
            "SPEECH_GENERATION",
            "SPEECH_UNDERSTANDING",
        )
        for edge in ("START", "END")
    ),
]
# One token each, so that the unchanging part of a prompt costs little.
BOILERPLATE = [
    f"Cutting Knowledge Date: December 2023\nToday Date: {DATE}",
    "Convert the text to speech:",
]
