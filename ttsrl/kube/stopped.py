"""A note in the cluster that a user stopped a run: an object of whose existence Prometheus knows.

kube-state-metrics tells of ConfigMaps, and of no operator's jobs; the alert TtsrlTrainGone keeps
quiet while the note is there.
"""

from __future__ import annotations

from ttsrl.kube.cluster import Cluster, HiddenError
from ttsrl.kube.names import RUN_LABEL, Names
from ttsrl.kube.release import owner_in


def note_stop(cluster: Cluster, names: Names) -> None:
    """Have the note in the cluster, for as long as the release is there."""
    if cluster.get(cluster.core(f"configmaps/{names.stopped}")) is not None:
        return
    labels = {"app.kubernetes.io/instance": names.release, RUN_LABEL: names.run}
    metadata = {
        "name": names.stopped,
        "labels": labels,
        "ownerReferences": [owner_in(cluster, names.release)],
    }
    note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    cluster.create(cluster.core("configmaps"), note)


def forget_stop(cluster: Cluster, names: Names) -> None:
    """Remove the note, if it is there."""
    path = cluster.core(f"configmaps/{names.stopped}")
    try:
        if cluster.get(path) is not None:
            cluster.delete(path)
    except HiddenError:
        return  # a release of an older chart: its users may not, and no such note is there
