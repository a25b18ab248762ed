"""verl's platform for machines without an accelerator: FSDP2 over gloo, "GPU" as a logical slot."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import Any

import torch
import verl.utils.distributed
import verl.utils.fsdp_utils
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import PlatformRegistry


@PlatformRegistry.register("cpu")
class PlatformCPU(PlatformBase):
    """Chosen by VERL_PLATFORM=cpu; the methods that concern device memory do nothing."""

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> Any:
        return torch.cpu

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return False  # never found by itself, only by name

    def current_device(self) -> Any:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> None:
        return None


def _complete_torch_cpu() -> None:
    """Give torch.cpu the memory functions that verl asks of every device module."""
    answers: dict[str, Any] = {
        "empty_cache": None,
        "ipc_collect": None,
        "manual_seed": None,
        "max_memory_allocated": 0,
        "max_memory_reserved": 0,
        "mem_get_info": (0, 0),
        "memory_allocated": 0,
        "memory_reserved": 0,
        "reset_peak_memory_stats": None,
    }
    for name, answer in answers.items():
        if not hasattr(torch.cpu, name):
            setattr(torch.cpu, name, functools.partial(lambda value, *_, **__: value, answer))
    torch.cpu.get_rng_state = torch.get_rng_state  # pyright: ignore[reportAttributeAccessIssue]
    torch.cpu.set_rng_state = torch.set_rng_state  # pyright: ignore[reportAttributeAccessIssue]


_complete_torch_cpu()

# verl's default backend is "cpu:gloo,<device>:<backend>", which torch refuses for device cpu
verl.utils.distributed.initialize_global_process_group_ray = functools.partial(
    verl.utils.distributed.initialize_global_process_group_ray, backend="cpu:gloo"
)


def _without_pinned_memory(policy: Any) -> Any:
    """verl off-loads the reference policy into pinned memory, and pinning needs an accelerator."""
    return lambda pin_memory=False: policy(pin_memory=False)


fsdp_utils: Any = verl.utils.fsdp_utils
fsdp_utils.CPUOffloadPolicy = _without_pinned_memory(fsdp_utils.CPUOffloadPolicy)
