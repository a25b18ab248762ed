"""What a job takes of a namespace's ResourceQuota. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from kubernetes.utils import parse_quantity

from ttsrl.kube.manifests import Manifest, pods_of
from ttsrl.kube.objects import Object, entries, part


def needed(job: Manifest) -> dict[str, Decimal]:
    """What all pods of a job take together, by the names that quotas use."""
    total: dict[str, Decimal] = {"pods": Decimal(0)}
    for pod, count in pods_of(job):
        total["pods"] += count
        for container in entries(pod, "spec", "containers"):
            limits = part(container, "resources", "limits")
            requests = {**limits, **part(container, "resources", "requests")}
            for prefix, amounts in (("requests.", requests), ("limits.", limits)):
                for resource, amount in amounts.items():
                    name = f"{prefix}{resource}"
                    total[name] = total.get(name, Decimal(0)) + quantity(amount) * count
    for resource in ("cpu", "memory"):  # the short names are requests
        total[resource] = total.get(f"requests.{resource}", Decimal(0))
    return total


def lacking(job: Manifest, quota: Object) -> list[str]:
    """What a quota has not left for a job, a line a resource."""
    used = part(quota, "status", "used")
    wanted = needed(job)
    lines: list[str] = []
    for name, hard in part(quota, "spec", "hard").items():
        left = quantity(hard) - quantity(used.get(name, "0"))
        if name in wanted and wanted[name] > left:
            lines.append(
                f"{quota['metadata']['name']} has {used.get(name, '0')} of {hard} {name} in use, "
                f"and the job takes {_shown(wanted[name], name)}"
            )
    return lines


def unnamed(job: Manifest, quota: Object, limit_ranges: Sequence[Object]) -> list[str]:
    """Amounts that a quota wants every container to name, and some do not, a line a resource.

    What a LimitRange of the namespace gives to containers that name none counts as named.
    """
    lines: list[str] = []
    for name in part(quota, "spec", "hard"):
        kind, _, resource = name.rpartition(".")
        if resource not in ("cpu", "memory") or kind not in ("", "requests", "limits"):
            continue
        where = kind or "requests"
        if any(_gives(one, where, resource) for one in limit_ranges):
            continue
        lacking_it = sorted(
            {
                container["name"]
                for pod, _ in pods_of(job)
                for container in entries(pod, "spec", "containers")
                if not _names(container, where, resource)
            }
        )
        if lacking_it:
            lines.append(
                f"{quota['metadata']['name']} wants {where}.{resource} of every container, and "
                f"{', '.join(lacking_it)} of the job names none"
            )
    return lines


def _names(container: Object, where: str, resource: str) -> bool:
    """Kubernetes takes a limit for the request that is not named."""
    kinds = ("limits",) if where == "limits" else ("requests", "limits")
    return any(resource in part(container, "resources", kind) for kind in kinds)


def _gives(limit_range: Object, where: str, resource: str) -> bool:
    kinds = ("default",) if where == "limits" else ("defaultRequest", "default")
    return any(
        resource in part(limit, kind)
        for limit in entries(limit_range, "spec", "limits")
        if limit.get("type") == "Container"
        for kind in kinds
    )


def quantity(amount: str | int) -> Decimal:
    """`500m`, `16Gi`, 8 as a number."""
    return parse_quantity(amount)


def _shown(amount: Decimal, name: str) -> str:
    if "memory" in name or "storage" in name:
        return f"{amount / 2**30:.0f}Gi"
    return f"{amount.normalize():f}"
