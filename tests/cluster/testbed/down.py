"""Ends the cluster and leaves nothing of it: processes, containers, mounts, interfaces, rules.

Only what was downloaded or built stays in the cache.
"""

import json
import shutil
import signal
from pathlib import Path

from .images import STORAGE
from .node import FIRST, SECOND, TestbedHost
from .paths import STATE, TestbedError
from .pki import DNS_IP
from .processes import RUN, alive, run, stop, wait


def down() -> None:
    # First what would start containers again.
    for name in ("kubelet", "kubelet1", "kwok", "kube-controller-manager", "kube-scheduler"):
        stop(name, signal.SIGKILL)
    for machine in (FIRST, SECOND):
        if alive(f"containerd{machine.suffix}"):
            end_containers(machine)
    for path in RUN.glob("*.pid"):
        stop(path.stem, patience_s=1.0 if path.stem == "kube-apiserver" else 10.0)
    unmount(STATE, STORAGE, *(machine.containerd_root for machine in (FIRST, SECOND)))
    for machine in (FIRST, SECOND):
        run("ip", "link", "delete", machine.bridge, check=False)
    for address in (DNS_IP, SECOND.address):
        run("ip", "address", "delete", f"{address}/32", "dev", "lo", check=False)
    _forget_rules()
    groups = Path("/sys/fs/cgroup")
    for folder in [*groups.glob("*/kubepods"), *groups.glob(f"*{SECOND.cgroup}")]:
        for group in sorted(folder.rglob("*/"), reverse=True):
            group.rmdir()
        folder.rmdir()
    shutil.rmtree(STATE, ignore_errors=True)
    if STATE.exists():
        raise TestbedError(f"{STATE} could not be removed; what is left in it is still in use")


def end_containers(machine: TestbedHost) -> None:
    """Kill and remove every container, and the network namespaces that they had."""
    ctr, networks = machine.ctr, set[str]()
    for container in ctr("containers", "list", "--quiet").split():
        info = json.loads(ctr("containers", "info", container))
        for namespace in info["Spec"]["linux"]["namespaces"]:
            if namespace["type"] == "network" and "path" in namespace:
                networks.add(namespace["path"])
        ctr("tasks", "kill", "--all", "--signal", "SIGKILL", container, check=False)
    wait("the end of every container", lambda: not _running(machine), 20)
    for container in ctr("containers", "list", "--quiet").split():
        ctr("tasks", "delete", "--force", container, check=False)
        ctr("containers", "delete", container)
    for network in networks:
        run("ip", "netns", "delete", Path(network).name, check=False)


def _running(machine: TestbedHost) -> bool:
    return any("RUNNING" in line for line in machine.ctr("tasks", "list").splitlines())


def unmount(*folders: Path) -> None:
    """Everything that is mounted below these folders."""
    ours = tuple(f"{folder}/" for folder in folders)
    for _, target, *_ in map(str.split, reversed(Path("/proc/mounts").read_text().splitlines())):
        if target.startswith(ours):
            run("umount", "--lazy", target)


def _forget_rules() -> None:
    """Remove the chains of kube-proxy, kubelet, CNI plugins and kube-router, with its sets."""
    for family in ("iptables", "ip6tables"):
        if shutil.which(family):
            saved = run(f"{family}-save", check=False).splitlines(keepends=True)
            kept = [line for line in saved if "KUBE-" not in line and "CNI-" not in line]
            if kept != saved:
                run(f"{family}-restore", input="".join(kept))
    if shutil.which("ipset"):
        for name in run("ipset", "list", "-name", check=False).split():
            if name.startswith(("KUBE-", "inet6:KUBE-")):
                run("ipset", "destroy", name, check=False)
