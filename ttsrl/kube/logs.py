"""What the training job's supervisor says, from its pod's log."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ttsrl.errors import Failure
from ttsrl.kube import training
from ttsrl.kube.cluster import OUTAGE_S, Cluster
from ttsrl.kube.manifests import Kind
from ttsrl.kube.names import Names
from ttsrl.kube.objects import entries, part
from ttsrl.kube.pod_log import PodLog
from ttsrl.kube.state import state_of

POLL_S = 2.0


def logs(cluster: Cluster, names: Names, *, follow: bool, previous: bool = False) -> Iterator[str]:
    """Lines of the newest attempt; with `follow` those of later attempts too, until the job ends.

    `previous`: of the attempt before the newest. Connections that break are made again.
    Raises BadInput where there is no job, Failure where it has no log, or, followed, has failed.
    """
    if follow:
        cluster.patience_s = OUTAGE_S
    kind, job = training.the_job(cluster, names)
    if previous:
        yield from _of_the_attempt_before(cluster, names, kind)
        return
    read: set[str] = set()
    while True:
        pod = training.driver(kind, training.pods(cluster, names))
        if pod is not None:
            name, phase = pod["metadata"]["name"], part(pod, "status").get("phase")
            if name not in read and phase not in ("Pending", None):
                if follow:
                    yield from PodLog(cluster, name).follow()
                else:
                    yield from cluster.log(name).splitlines()
                read.add(name)
        kind, job = training.the_job(cluster, names)
        state = state_of(job)
        if not follow:
            if not read:
                raise Failure(f"nothing is logged yet: {state.words}; see `ttsrl status`")
            return
        if state.has_ended:
            if state.phase == "failed":
                raise Failure(f"{job['metadata']['name']}: {state.words}")
            return
        time.sleep(POLL_S)


def _of_the_attempt_before(cluster: Cluster, names: Names, kind: Kind) -> Iterator[str]:
    """From the container that was started again, or from the pod before the newest."""
    found = training.pods(cluster, names)
    newest = training.driver(kind, found)
    if newest is not None:
        restarted = any(
            status.get("restartCount") for status in entries(newest, "status", "containerStatuses")
        )
        name = newest["metadata"]["name"]
        if restarted:
            yield from cluster.log(name, previous=True).splitlines()
            return
        found = [pod for pod in found if pod["metadata"]["name"] != name]
        if (before := training.driver(kind, found)) is not None:
            yield from cluster.log(before["metadata"]["name"]).splitlines()
            return
    raise Failure(
        f"the cluster keeps no earlier attempt of {names.train}; what each of them said is in the "
        f"run's storage, in runs/{names.run}/log/attempts"
    )
