"""Why a volume claim has no disk."""

from __future__ import annotations

from ttsrl.kube.cluster import Cluster
from ttsrl.kube.objects import Object, part
from ttsrl.runtime.doctor import Check


def pending_claim(cluster: Cluster, name: str, claim: Object, modes: str) -> Check:
    """A claim without a disk: right until its first pod comes, if the class waits for that."""
    what = f"volume {name}"
    wanted = part(claim, "spec").get("storageClassName")
    classes = cluster.items("/apis/storage.k8s.io/v1/storageclasses")
    events = cluster.items(cluster.core("events")) or []
    said = [
        event["message"]
        for event in sorted(events, key=lambda event: event.get("lastTimestamp") or "")
        if event["involvedObject"].get("uid") == claim["metadata"].get("uid")
        and event.get("type") == "Warning"
    ]
    found = f"Pending, {modes}, class {wanted or 'none'}"
    if said:
        advice = "choose models.storageClass and models.accessModes that fit together"
        return Check(what, "bad", f"{found}: {said[-1]}", advice)
    if classes is not None and wanted not in [one["metadata"]["name"] for one in classes]:
        names = ", ".join(sorted(one["metadata"]["name"] for one in classes)) or "none"
        return Check(
            what, "bad", f"{found}: no such class; there are: {names}", "set models.storageClass"
        )
    return Check(
        what,
        "note",
        f"{found}: it has no disk yet",
        "right until the first pod mounts it; if it stays so, the class may lack ReadWriteMany",
    )
