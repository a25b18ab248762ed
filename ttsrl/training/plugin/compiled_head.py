"""verl's fused soft-max, compiled: on a GPU its passes over the logits took a third of an update.

verl computes the log-probabilities of 512 tokens at a time from the logits of the whole vocabulary,
with about twenty kernels that each read and write them in float32. Compiled they are two, and the
products with the weights stay. More tokens at a time add to the head's gradient fewer times.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import verl.utils.experimental.torch_functional

from ttsrl.training.plugin.compiled_layers import compiled
from ttsrl.training.verl_args import SOFTMAX_CHUNK

functional: Any = verl.utils.experimental.torch_functional


def compile_head() -> None:
    """In this process, once."""
    for name in ("_fused_linear_for_ppo_fwd", "_fused_linear_for_ppo_bwd"):
        setattr(functional, name, compiled(getattr(functional, name)))
    head = functional.FusedLinearForPPO
    if not isinstance(head, partial):
        functional.FusedLinearForPPO = partial(head, chunk_size=SOFTMAX_CHUNK)
