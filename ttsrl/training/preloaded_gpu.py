"""What a run on GPUs imports once, in the process that its workers are forked off.

vLLM's server, its engine core and the worker of each GPU start one after the other, and each would
import torch, verl and vLLM anew: 20 to 30 s. A fork of a process that has initialised CUDA cannot
use it, so whatever asks for a GPU during these imports is answered by NVML.

What is found out there without CUDA_VISIBLE_DEVICES stays right in a worker that gets one later:
torch counts GPUs anew until CUDA is initialised; verl's `is_cuda_available` is read in workers that
have a GPU and in the main program alone; vLLM's platform is that of the machine, and what it has
kept of the first GPU is forgotten (`fits_fork`).
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pynvml

NVML_CHECK = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""torch.cuda.is_available() would initialise CUDA. vLLM sets it in all its processes."""
READ_ONCE = {"OMP_NUM_THREADS": "1", "VLLM_LOGGING_LEVEL": "WARN", "VLLM_BATCH_INVARIANT": "0"}
"""What torch and vLLM read while they are imported, as Ray and verl set it in their workers unless
the environment has it already."""
MODULES = (
    "verl.workers.rollout.vllm_rollout.vllm_async_server",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.worker.gpu_worker",
    "vllm.v1.attention.backends.flash_attn",
    "vllm.model_executor.model_loader.default_loader",
    "ttsrl.training.plugin.vllm_speech",
)
"""Of vLLM's server, its engine core, a GPU's worker, and what that loads by name."""


def before_import() -> dict[str, str]:
    """Variables of the process that imports."""
    read_once = {name: os.environ.get(name, value) for name, value in READ_ONCE.items()}
    return NVML_CHECK | read_once


def with_vllm(modules: Sequence[str]) -> list[str]:
    """All to be imported, in order: vLLM before torch, whose compiler it tells to start nothing."""
    return ["vllm", *modules, *MODULES]


def know_model(folder: Path) -> None:
    """Import the policy's class: vLLM has a process of its own do so otherwise, with all of vLLM.

    Of an architecture that vLLM does not know nothing is done: the server says so.
    """
    from vllm import ModelRegistry  # pyright: ignore[reportMissingImports]

    registry: Any = ModelRegistry
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name in config.get("architectures") or []:
        if name in registry.models:
            registry.register_model(name, registry.models[name].load_model_cls())


@contextmanager
def capability_by_nvml() -> Generator[None]:
    """verl asks torch for the first GPU's compute capability while it is imported.

    verl decides by it what Megatron and GB200 need. Nothing is changed where NVML does not tell.
    """
    import torch

    try:
        pynvml.nvmlInit()
        first = pynvml.nvmlDeviceGetHandleByIndex(0)
        capability = pynvml.nvmlDeviceGetCudaComputeCapability(first)
    except pynvml.NVMLError:
        yield
        return
    cuda: Any = torch.cuda
    by_cuda = cuda.get_device_capability
    cuda.get_device_capability = lambda device=None: tuple(capability)
    initialise, cuda._lazy_init = cuda._lazy_init, _refuse
    try:
        yield
    finally:
        cuda.get_device_capability, cuda._lazy_init = by_cuda, initialise


def _refuse() -> None:
    """vLLM's kernels for linear attention ask for CUDA, and do without after this error."""
    raise RuntimeError("CUDA is not initialised by what is forked")


def leave_nvml() -> None:
    """Close NVML's files of the GPUs, which torch leaves open; who asks it next opens them again.

    NVML counts who has initialised it.
    """
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return  # no driver
    while nvml.nvmlShutdown() == 0:
        pass


def fits_fork(imported_with: Mapping[str, str]) -> bool:
    """In a fork, before its program: whether it can use CUDA, and vLLM as it was imported.

    What vLLM has asked of the first GPU is forgotten: CUDA_VISIBLE_DEVICES may tell of another.
    """
    import torch

    if torch.cuda._is_in_bad_fork():  # pyright: ignore[reportPrivateUsage]
        return False
    if any(os.environ.get(name) != imported_with.get(name) for name in READ_ONCE):
        return False
    if platform := sys.modules.get("vllm.platforms.cuda"):
        platform.CudaPlatform.get_device_capability.cache_clear()
    return True
