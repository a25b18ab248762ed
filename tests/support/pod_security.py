"""Pod Security "restricted", as Kubernetes' own admission has it, and this project's additions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"} | {
    "persistentVolumeClaim",
    "projected",
    "secret",
}
HOST_FIELDS = ("hostNetwork", "hostPID", "hostIPC")


def violations(spec: dict[str, Any]) -> Iterator[str]:
    """What admission to a restricted namespace would say against a pod specification."""
    yield from (field for field in HOST_FIELDS if spec.get(field))
    for volume in spec.get("volumes", []):
        if kinds := volume.keys() - {"name"} - VOLUMES:
            yield f"volume {volume['name']}: {sorted(kinds)}"
    of_pod = spec.get("securityContext", {})
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        name, own = container["name"], container.get("securityContext", {})
        both = {**of_pod, **own}
        if own.get("privileged"):
            yield f"{name}: privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if "ALL" not in own.get("capabilities", {}).get("drop", []):
            yield f"{name}: capabilities"
        if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
            yield f"{name}: added capabilities"
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield f"{name}: runs as root"
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield f"{name}: hostPort"


def excesses(spec: dict[str, Any]) -> Iterator[str]:
    """What a pod of this project needs not have, beyond what admission looks at."""
    if spec.get("automountServiceAccountToken") is not False:
        yield "a token of Kubernetes"
    for container in spec["containers"]:
        if container.get("securityContext", {}).get("readOnlyRootFilesystem") is not True:
            yield f"{container['name']}: a writable root"
        if "/tmp" not in {mount["mountPath"] for mount in container.get("volumeMounts", [])}:
            yield f"{container['name']}: no /tmp"
        if not {"requests", "limits"} <= container.get("resources", {}).keys():
            yield f"{container['name']}: no requests or no limits"
