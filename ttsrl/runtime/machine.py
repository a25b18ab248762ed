"""What this machine gives: cores, memory and disk, as a container's limits leave them."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

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
    fields = dict(line.split(":") for line in _read(Path("/proc/meminfo")).splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    limit, used = _read(CGROUP / "memory.max"), _read(CGROUP / "memory.current")
    if limit.isdecimal() and used.isdecimal():
        return min(free, int(limit) - int(used))
    return free


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
    query = [
        "--query-gpu=index,uuid,name,memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ]
    try:
        asked = subprocess.run(
            ["nvidia-smi", *query], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in asked.stdout.splitlines()]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        rows = [row for name in names for row in rows if row[0] == name or row[1].startswith(name)]
    mib = 2**20
    return [
        Gpu(f"{index} ({name})", int(total) * mib, int(free) * mib)
        for index, _, name, total, free in rows
    ]


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
