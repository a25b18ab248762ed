"""vLLM samples speech only: a logits processor of the engine; no list goes with a request."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoTokenizer
from vllm.v1.sample.logits_processor.interface import (  # pyright: ignore[reportMissingImports]
    LogitsProcessor,
    MoveDirectionality,
)

from ttsrl.families.registry import load_family
from ttsrl.training.environment import run_here
from ttsrl.training.plugin.speech_mask import SpeechMask


class OnlySpeech(LogitsProcessor):  # pyright: ignore[reportUntypedBaseClass]
    """See vLLM's LogitsProcessor; the family is that of the run that this process belongs to."""

    def __init__(self, vllm_config: Any, device: torch.device, is_pin_memory: bool) -> None:
        tokenizer = AutoTokenizer.from_pretrained(vllm_config.model_config.tokenizer)
        family = load_family(run_here().family, tokenizer)
        self.mask = SpeechMask(family.allowed_in_frame, device, pin_memory=is_pin_memory)

    def is_argmax_invariant(self) -> bool:
        """Greedy decoding has to be masked, too."""
        return False

    def update_state(self, batch_update: Any) -> None:
        """Called before each step; None where the batch is as it was."""
        if batch_update is None:
            return
        self.mask.change(
            batch_update.removed,
            [(row, response) for row, _, _, response in batch_update.added],
            [(a, b, how is MoveDirectionality.SWAP) for a, b, how in batch_update.moved],
        )

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits [N, V], changed in place."""
        return self.mask.apply(logits)
