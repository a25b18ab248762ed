"""The whole cluster, brought up; a second call renews images and leaves the rest as it runs."""

import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from . import images, node, operators, s3
from .down import down
from .paths import STATE
from .processes import alive
from .tools import build, groups_up_to, tool_image

VOLUMES = 200
"""More than the claims of a session: what a test has left in one stays until the next `up`."""


def up(group: str) -> None:
    if STATE.exists() and not alive("kubelet"):
        down()  # what a crash or a restart of the machine left
    # Go wants the cores and the images the network.
    with ThreadPoolExecutor(1) as beside:
        building = beside.submit(_build_images)
        build(groups_up_to(group))
        building.result()
    tools = ["pause", *(name for name in operators.OPERATORS[group] if name in images.ENTRYPOINTS)]
    _timed("images of the operators", lambda: [images.build_tool(name) for name in tools])
    _timed("control plane and node", node.up)
    names = [*map(tool_image, tools), *map(images.ttsrl_image, images.TTSRL)]
    _timed("images into containerd", lambda: images.load(names))
    s3.SHARED.up()
    _free_volumes()
    operators.apply(_volumes())
    for name, install in operators.OPERATORS[group].items():
        _timed(name, install)
    _timed("operators ready", operators.wait_ready)


def _build_images() -> None:
    for name in images.TTSRL:
        _timed(f"image ttsrl-{name}", lambda name=name: images.build_ttsrl(name))
    _timed("older images removed", images.prune)


def _free_volumes() -> None:
    """Empty the volumes whose claim is gone. Kubernetes does so only where a driver provisions."""
    for volume in json.loads(node.kubectl("get", "pv", "-o", "json"))["items"]:
        if volume["status"]["phase"] == "Released":
            node.kubectl("delete", "pv", volume["metadata"]["name"])
            shutil.rmtree(volume["spec"]["hostPath"]["path"])


def _volumes() -> list[dict[str, Any]]:
    """Folders of this machine for claims that name no storage class."""
    volumes = []
    for number in range(VOLUMES):
        folder = STATE / f"volumes/{number}"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # as a provisioner does: a hostPath knows no fsGroup
        spec = {
            "capacity": {"storage": "100Gi"},
            "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
        }
        metadata = {"name": f"folder-{number}"}
        volumes.append(
            {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}
        )
    return volumes


def _timed(what: str, work: Callable[[], object]) -> None:
    started = time.monotonic()
    work()
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)
