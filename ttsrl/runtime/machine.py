"""What this machine gives: cores, memory and disk, as a container's limits leave them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import psutil
import pynvml

from ttsrl.errors import BadInput

CGROUP = Path("/sys/fs/cgroup")
GIB = 2**30

QUICKSTART_DISK_BYTES = 2 * GIB
QUICKSTART_MEMORY_BYTES = 8 * GIB
"""Measured: all processes of the tiny run take 7.4 GiB together (sum of PSS), 0.8 GiB of it the
reward service."""


def cores() -> float:
    """CPU cores that this process may use."""
    allowed = float(len(os.sched_getaffinity(0)))
    quota = _read(CGROUP / "cpu.max").split()
    if len(quota) == 2 and quota[0].isdecimal():
        return min(allowed, int(quota[0]) / int(quota[1]))
    return allowed


def free_memory_bytes() -> int:
    """Memory that can still be had before something is killed."""
    free = psutil.virtual_memory().available
    limit, used = _read(CGROUP / "memory.max"), _read(CGROUP / "memory.current")
    if limit.isdecimal() and used.isdecimal():
        return min(free, int(limit) - int(used) + _cached_bytes())
    return free


def _cached_bytes() -> int:
    """Copies of files that a container's memory holds: the kernel drops them where memory is short,
    and they count as used, a model that was read included.
    """
    counts = dict(line.split() for line in _read(CGROUP / "memory.stat").splitlines())
    return sum(int(counts.get(name, 0)) for name in ("active_file", "inactive_file"))


def free_disk_bytes(folder: Path) -> int:
    """Free bytes on the disk where `folder` lies or would lie."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU."""

    name: str
    """Its number and model."""
    total_bytes: int
    free_bytes: int


def gpus() -> list[Gpu]:
    """The GPUs that this process may use, in their order; none where there is no driver."""
    with _driver() as found:
        if not found:
            return []
        count = range(pynvml.nvmlDeviceGetCount())
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in count]
        uuids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
        return [_gpu(index, handles[index]) for index in _visible(uuids)]


def driver_version() -> str | None:
    """Of NVIDIA's driver; None where there is none."""
    with _driver() as found:
        return pynvml.nvmlSystemGetDriverVersion() if found else None


def torch_device() -> Literal["cuda", "cpu"]:
    """Where this process computes: cuda where torch finds a GPU that it can use."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _driver() -> Generator[bool]:
    """NVIDIA's management library while the block runs; False where it or the driver is absent."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield False
        return
    try:
        yield True
    finally:
        pynvml.nvmlShutdown()


def _visible(uuids: Sequence[str]) -> list[int]:
    """Indices of the GPUs that CUDA_VISIBLE_DEVICES names, by number or by how a UUID begins."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return list(range(len(uuids)))
    names = [name.strip() for name in visible.split(",") if name.strip()]
    known = list(enumerate(uuids))
    return [i for name in names for i, uuid in known if str(i) == name or uuid.startswith(name)]


def _gpu(index: int, handle: Any) -> Gpu:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = f"{index} ({pynvml.nvmlDeviceGetName(handle)})"
    return Gpu(name, int(memory.total), int(memory.free))


def require(folder: Path, disk_bytes: int, memory_bytes: int) -> None:
    """Raises BadInput when disk or memory would not last."""
    if (free := free_disk_bytes(folder)) < disk_bytes:
        raise BadInput(
            f"the disk of {folder} has {free / GIB:.1f} GiB free, and {disk_bytes / GIB:.1f} GiB "
            "are needed; free some, or give a folder on another disk"
        )
    if (free := free_memory_bytes()) < memory_bytes:
        raise BadInput(
            f"{free / GIB:.1f} GiB of memory are free, and {memory_bytes / GIB:.1f} GiB are "
            "needed; close other programs, or raise the container's limit"
        )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
