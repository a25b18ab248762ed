"""What a GPU multiplies in; weights and sums stay in float32."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch

from ttsrl.codecs.base import Precision


@contextmanager
def multiplying(device: torch.device, precision: Precision) -> Generator[None]:
    """Matrix products and convolutions on a GPU in this precision; nothing changes on a CPU."""
    if device.type != "cuda":
        yield
        return
    products: Any = torch.backends.cuda.matmul
    convolutions: Any = torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic
    products.allow_tf32 = convolutions.allow_tf32 = precision != "float32"
    # some algorithms add in any order, and the same tokens would not sound the same twice
    convolutions.deterministic = True
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bfloat16"):
            yield
    finally:
        products.allow_tf32, convolutions.allow_tf32, convolutions.deterministic = before
