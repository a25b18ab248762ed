"""A GPU that the reward shares: what counts as full, and how much a worker may take."""

import pytest
import torch

from ttsrl.scorers.memory import is_out_of_memory, limit


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 48.00 MiB"), True),
        # seen where the trainer on the same GPU had taken what was free
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
        (ValueError("CUDA out of memory"), False),
    ],
)
def test_a_full_gpu_is_told_from_a_bug(error: Exception, full: bool) -> None:
    assert is_out_of_memory(error) == full


def test_a_worker_takes_no_more_of_a_gpu_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, torch.device]] = []
    # this machine has no GPU to be asked
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda *given: asked.append(given)
    )
    limit("cuda:1", 0.25)
    limit("cuda:1", None)
    limit("cpu", 0.25)
    assert asked == [(0.25, torch.device("cuda:1"))]
