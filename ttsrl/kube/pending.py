"""Why a pod does not run, in words. Pure: objects of the API in, a sentence out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ttsrl.kube.names import GPU_PRODUCT_LABEL, POOL_LABEL
from ttsrl.kube.objects import Object, condition, entries, labels_of, part

GPU = re.compile(r"gpu\.[^/]+/.+|[^/]+/(.*gpu.*|mig-.+)")
"""Resources that are GPUs: nvidia.com/gpu, nvidia.com/mig-3g.40gb, amd.com/gpu, gpu.intel.com/x."""
ON_NODES = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
"""Selects pods that hold something of a node."""
HOW_TO_POOL = f"label nodes: kubectl label node NAME {POOL_LABEL}="
WRONG_ARCHITECTURE = ("no match for platform", "exec format error", "does not match the specified")


def why_pending(
    pod: Object,
    nodes: Sequence[Object] | None,
    pods: Sequence[Object] | None,
    events: Sequence[Object] = (),
) -> str:
    """One sentence; "" where nothing is wrong with the pod.

    `nodes` and `pods` are the cluster's, None where this user may not see them; then the
    scheduler's own words must do. `events` are those of the pod's namespace.
    """
    scheduled = condition(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return _unscheduled(pod, scheduled, nodes, pods)
    for status in _container_statuses(pod):
        if words := _container(status):
            return words
    if part(pod, "status").get("phase") == "Pending":
        return _newest_warning(pod, events) or "its containers are being made"
    return ""


def gpus_wanted(pod: Object) -> int:
    """GPUs that a pod asks for."""
    containers = entries(pod, "spec", "containers")
    return sum(_gpus(part(one, "resources", "limits")) for one in containers)


def _gpus(amounts: Object) -> int:
    return sum(int(count) for resource, count in amounts.items() if GPU.fullmatch(resource))


def _unscheduled(
    pod: Object,
    scheduled: Object,
    nodes: Sequence[Object] | None,
    pods: Sequence[Object] | None,
) -> str:
    if scheduled.get("reason") == "SchedulingGated":
        gates = ", ".join(gate["name"] for gate in entries(pod, "spec", "schedulingGates"))
        return f"held back by {gates}: its queue has no quota left for it yet"
    said = f"the scheduler says: {scheduled.get('message', 'nothing yet')}"
    if nodes is None:
        return said
    matching = [node for node in nodes if fits_labels(pod, node)]
    if not matching:
        return _no_such_node(pod, nodes)
    wanted = gpus_wanted(pod)
    if not wanted:
        return said
    held = _held(matching, pods or [])
    free = {name: gpus_of(node) - sum(held[name].values()) for name, node in _named(matching)}
    if max(free.values()) >= wanted:
        return said  # GPUs are not what it lacks: CPU, memory, a taint, a volume
    largest = max(gpus_of(node) for node in matching)
    kind = _kind(pod, matching)
    if largest < wanted:
        return (
            f"no node has {wanted} GPUs: the largest {kind or 'one'} has {largest}; lower "
            "train.gpus_per_node, or use more nodes"
        )
    count = f"{wanted} {kind or 'GPUs'}" if wanted > 1 else kind or "a GPU"
    holders: dict[str, int] = {}
    for by in held.values():
        for holder, gpus in by.items():
            holders[holder] = holders.get(holder, 0) + gpus
    first = sorted(holders, key=lambda holder: (-holders[holder], holder))[:3]
    more = f" and {len(holders) - 3} more" if len(holders) > 3 else ""
    total = sum(holders.values())
    return (
        f"no node has {count} free; {total} {'is' if total == 1 else 'are'} held by "
        f"{', '.join(first)}{more}"
    )


def fits_labels(pod: Object, node: Object) -> bool:
    """Whether a node has the labels that a pod requires."""
    labels = labels_of(node)
    if any(labels.get(key) != value for key, value in part(pod, "spec", "nodeSelector").items()):
        return False
    terms = _required_terms(pod)
    return not terms or any(
        all(_holds(one, labels) for one in entries(term, "matchExpressions")) for term in terms
    )


def gpus_of(node: Object) -> int:
    """GPUs of a node that pods may have."""
    return _gpus(part(node, "status", "allocatable"))


def _required_terms(pod: Object) -> list[Object]:
    required = part(
        pod, "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"
    )
    return entries(required, "nodeSelectorTerms")


def _holds(expression: Object, labels: Mapping[str, str]) -> bool:
    value = labels.get(expression["key"])
    match expression["operator"]:
        case "In":
            return value in expression["values"]
        case "NotIn":
            return value not in expression["values"]
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return True  # Gt, Lt: for the scheduler to judge


def _no_such_node(pod: Object, nodes: Sequence[Object]) -> str:
    """Which required label no node has."""
    required: list[tuple[str, list[str]]] = [
        *((key, [value]) for key, value in part(pod, "spec", "nodeSelector").items()),
        *(
            (one["key"], one.get("values") or [])
            for term in _required_terms(pod)
            for one in entries(term, "matchExpressions")
        ),
    ]
    for key, values in required:
        there: dict[str, int] = {}
        for node in nodes:
            if (value := labels_of(node).get(key)) is not None:
                there[value] = there.get(value, 0) + 1
        if there.keys() & set(values) or (there and not values):
            continue
        found = ", ".join(f"{value} ({count})" for value, count in sorted(there.items()))
        way_out = f"; {HOW_TO_POOL}{values[0]}" if key == POOL_LABEL and values else ""
        return (
            f"no node has {key} = {' or '.join(values)}; "
            + (f"there are {found}" if found else "no node has that label at all")
            + way_out
        )
    return "no node has all the labels that it requires together"


def _kind(pod: Object, nodes: Sequence[Object]) -> str:
    """The GPU products that a pod requires and these nodes have; "" where it requires none."""
    asked = any(
        one["key"] == GPU_PRODUCT_LABEL
        for term in _required_terms(pod)
        for one in entries(term, "matchExpressions")
    )
    products = {labels_of(node).get(GPU_PRODUCT_LABEL, "") for node in nodes} - {""}
    return " or ".join(sorted(products)) if asked else ""


def _held(nodes: Sequence[Object], pods: Iterable[Object]) -> dict[str, dict[str, int]]:
    """GPUs of each node by who holds them, `namespace/pod`."""
    held: dict[str, dict[str, int]] = {name: {} for name, _ in _named(nodes)}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node not in held or part(pod, "status").get("phase") in ("Succeeded", "Failed"):
            continue
        if gpus := gpus_wanted(pod):
            holder = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            held[node][holder] = gpus
    return held


def _named(nodes: Sequence[Object]) -> list[tuple[str, Object]]:
    return [(node["metadata"]["name"], node) for node in nodes]


def _container_statuses(pod: Object) -> list[Object]:
    return [
        *entries(pod, "status", "initContainerStatuses"),
        *entries(pod, "status", "containerStatuses"),
    ]


def _container(status: Object) -> str:
    """What keeps a container from running; "" where nothing does."""
    name, image = status["name"], status.get("image", "")
    waiting = part(status, "state", "waiting")
    ended = part(status, "state", "terminated") or part(status, "lastState", "terminated")
    message = f"{waiting.get('message', '')} {ended.get('message', '')}"
    if any(words in message for words in WRONG_ARCHITECTURE):
        return f"the image {image} is built for another architecture than the node's"
    match waiting.get("reason"):
        case "ErrImagePull" | "ImagePullBackOff" | "ErrImageNeverPull" | "InvalidImageName":
            return (
                f"the image {image} cannot be had: {waiting.get('message', waiting['reason'])}; "
                "push it, or give the release another image"
            )
        case "CreateContainerConfigError":
            return f"{name} lacks what its configuration names: {waiting.get('message', '')}"
        case "CrashLoopBackOff":
            code = ended.get("exitCode")
            return f"{name} keeps ending with exit code {code}; see `ttsrl logs`"
        case _:
            return ""


def _newest_warning(pod: Object, events: Sequence[Object]) -> str:
    """The last that went wrong with a pod, such as a Secret that cannot be mounted."""
    uid = pod["metadata"].get("uid")
    warnings = [
        event
        for event in events
        if event.get("type") == "Warning" and event["involvedObject"].get("uid") == uid
    ]
    if not warnings:
        return ""
    return max(warnings, key=lambda event: event.get("lastTimestamp") or "")["message"]
