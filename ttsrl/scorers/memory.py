"""A GPU's memory, which the reward may share with a trainer on the same GPU."""

from __future__ import annotations

import torch

NO_ROOM = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUDA out of memory")
"""What libraries say that allocate beside torch, in a plain RuntimeError."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the same work may fit in smaller pieces."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in NO_ROOM)


def limit(device: str, share: float | None) -> None:
    """Let this process allocate at most so much of the GPU's memory; nothing on a CPU.

    Else torch keeps whatever was free once, and vLLM, which wakes later, finds none.
    """
    if share is not None and device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(share, torch.device(device))
