"""A second machine, which can be lost: on the same host, all else of its own."""

import os
import shutil
import signal
from pathlib import Path

from . import images, node, pki
from .down import end_containers, unmount
from .node import SECOND, kubectl
from .paths import CACHE, TestbedError
from .processes import run, stop
from .tools import tool_image

CGROUPS = Path("/sys/fs/cgroup")
FREE_GB = 22
"""It has images of its own, 18 GB; with 19 GB free its kubelet evicted pods."""


def up(names: list[str]) -> None:
    """Add it to the cluster, with these images; it is Ready when this returns.

    Raises TestbedError where the disk is too full for it.
    """
    if (free_gb := shutil.disk_usage(CACHE).free / 1e9) < FREE_GB:
        raise TestbedError(
            f"{free_gb:.0f} GB are free at {CACHE}, and a second machine's images take up to "
            f"{FREE_GB} GB while they are tested; free some, or set TTSRL_CACHE to another disk"
        )
    run("ip", "address", "replace", f"{SECOND.address}/32", "dev", "lo")
    pki.second_kubelet(SECOND.name, SECOND.address)
    for controller in _controllers():
        group = controller / SECOND.cgroup[1:]
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (controller / setting).exists():
                (group / setting).write_text((controller / setting).read_text())
    node.start_runtime(SECOND)
    images.load([tool_image("pause"), *names], SECOND)
    node.start_kubelet(SECOND)


def lose() -> None:
    """All at once, as by a loss of power: nothing on it says goodbye."""
    stop(f"kubelet{SECOND.suffix}", signal.SIGKILL)
    stop(f"containerd{SECOND.suffix}", signal.SIGKILL)
    for controller in _controllers():
        for group in (controller / SECOND.cgroup[1:]).rglob("cgroup.procs"):
            for pid in group.read_text().split():
                os.kill(int(pid), signal.SIGKILL)


def forget() -> None:
    """As a cloud's controller does once the machine is gone: its pods go with the node."""
    kubectl("delete", "node", SECOND.name, "--ignore-not-found")
    node.start_runtime(SECOND)  # to remove what it had
    end_containers(SECOND)
    stop(f"containerd{SECOND.suffix}")
    unmount(SECOND.containerd_root)
    shutil.rmtree(SECOND.containerd_root)  # as large as the first one's


def _controllers() -> list[Path]:
    """Hierarchies of version 1, or the one of version 2."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]
