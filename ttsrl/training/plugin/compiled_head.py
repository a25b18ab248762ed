"""verl's fused soft-max, compiled: on a GPU its passes over the logits took a third of an update.

verl computes the log-probabilities of 512 tokens at a time from the logits of the whole vocabulary,
with about twenty kernels that each read and write them in float32. Compiled they are two, and the
products with the weights stay. More tokens at a time add to the head's gradient fewer times.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import verl.utils.experimental.torch_functional

from ttsrl.training.verl_args import SOFTMAX_CHUNK

functional: Any = verl.utils.experimental.torch_functional

if torch.cuda.is_available():
    for name in ("_fused_linear_for_ppo_fwd", "_fused_linear_for_ppo_bwd"):
        setattr(functional, name, torch.compile(getattr(functional, name), dynamic=True))
    functional.FusedLinearForPPO = partial(functional.FusedLinearForPPO, chunk_size=SOFTMAX_CHUNK)
