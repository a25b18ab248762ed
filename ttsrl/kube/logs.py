"""What the training job's supervisor says, from its pod's log."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ttsrl.errors import Failure
from ttsrl.kube import training
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.names import Names
from ttsrl.kube.objects import part
from ttsrl.kube.state import state_of

POLL_S = 2.0


def logs(cluster: Cluster, names: Names, *, follow: bool) -> Iterator[str]:
    """Lines of the newest attempt; with `follow` those of later attempts too, until the job ends.

    Raises BadInput where there is no job, Failure where it has no log, or, followed, has failed.
    """
    kind, job = training.the_job(cluster, names)
    read: set[str] = set()
    while True:
        pod = training.driver(kind, names, training.pods(cluster, names))
        if pod is not None:
            name, phase = pod["metadata"]["name"], part(pod, "status").get("phase")
            if name not in read and phase not in ("Pending", None):
                if follow:
                    yield from cluster.follow_log(name)
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
                raise Failure(f"{names.train}: {state.words}")
            return
        time.sleep(POLL_S)
