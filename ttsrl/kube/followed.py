"""`ttsrl status --follow`: a training job, watched until its end."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from ttsrl.errors import Failure, Stopped
from ttsrl.kube import training
from ttsrl.kube.cluster import OUTAGE_S, Cluster
from ttsrl.kube.manifests import Kind
from ttsrl.kube.names import Names
from ttsrl.kube.objects import Object
from ttsrl.kube.pending import ON_NODES, gpus_wanted
from ttsrl.kube.readiness import APIS
from ttsrl.kube.status import Status, is_pending, told
from ttsrl.kube.watched import Watched
from ttsrl.records.step_line import StepLine
from ttsrl.runtime.progress import Progress

LOOK_S = 3.0
"""How often the log is asked for the last step."""
AWAY_S = 5.0
"""A shorter absence of the API server is not worth a line."""


class FollowedJob:
    """A job and its pods; while one of them waits, also what it may wait for."""

    def __init__(self, cluster: Cluster, names: Names) -> None:
        self._cluster, self._names = cluster, names
        kind, self._job = training.the_job(cluster, names)
        self._kind: Kind = kind
        self.changed = threading.Event()
        self._around: tuple[Watched, Watched, Watched] | None = None
        self._all = ExitStack()
        version, plural, _ = APIS[kind]
        only_it = {"fieldSelector": f"metadata.name={self._job['metadata']['name']}"}
        self._jobs = self._watched(cluster.group(version, plural), only_it)
        self._pods = self._watched(cluster.core("pods"), training.selector_of_pods(names))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._all.close()

    @property
    def away_s(self) -> float | None:
        """Seconds since the API server does not answer; None while it does."""
        watched = (self._jobs, self._pods, *(self._around or ()))
        since = [one.away_since for one in watched if one.away_since is not None]
        return time.monotonic() - min(since) if since else None

    def status(self) -> Status | None:
        """As it is now; None where the job is gone. Raises BadInput, Failure."""
        jobs = self._jobs.objects()
        if jobs == []:
            return None
        self._job = jobs[0] if jobs else training.the_job(self._cluster, self._names)[1]
        listed = self._pods.objects()
        pods = training.in_order(listed or [])
        nodes, everyone, events = self._looked_at(pods)
        return told(
            self._cluster, self._names, self._kind, self._job, pods, nodes, everyone, events or []
        )

    def _looked_at(
        self, pods: Sequence[Object]
    ) -> tuple[list[Object] | None, list[Object] | None, list[Object] | None]:
        """Nodes, pods with GPUs on them, and warnings; nothing where no pod waits."""
        if not any(is_pending(pod) for pod in pods):
            for one in self._around or ():
                one.close()
            self._around = None
            return None, None, None
        if self._around is None:
            warnings = {"fieldSelector": "type=Warning"}
            self._around = (
                self._watched("/api/v1/nodes", {}),
                Watched(self._cluster, "/api/v1/pods", {"fieldSelector": ON_NODES}, _holds_gpus),
                self._watched(self._cluster.core("events"), warnings),
            )
            self._all.enter_context(self._around[1])
        nodes, everyone, events = (one.objects() for one in self._around)
        return nodes, everyone, events

    def _watched(self, path: str, query: dict[str, str]) -> Watched:
        return self._all.enter_context(Watched(self._cluster, path, query, changed=self.changed))


def watch(cluster: Cluster, names: Names, progress: Progress) -> None:
    """Show progress until the job has ended. Raises Failure where it failed."""
    cluster.patience_s = OUTAGE_S
    shown = _Shown(names, progress)
    while True:
        with FollowedJob(cluster, names) as job:
            while (now := job.status()) is not None:
                if job.away_s is None:
                    if shown.show(now):
                        return
                elif job.away_s > AWAY_S:
                    shown.tell(f"the cluster does not answer; it is asked for {OUTAGE_S:.0f} s")
                job.changed.wait(LOOK_S)
                job.changed.clear()


class _Shown:
    """One stage, with a line for whatever is new."""

    def __init__(self, names: Names, progress: Progress) -> None:
        self._stage = progress.stage(names.train)
        self._step = StepLine(0, 1, "")
        self._said = ""

    def tell(self, words: str) -> None:
        if words != self._said:
            self._stage.update(self._step.step, self._step.total, words)
            self._said = words

    def show(self, now: Status) -> bool:
        """Whether it has ended, well or by a user. Raises Stopped, Failure."""
        self._step = now.step or self._step
        if self._step.step and now.state.phase == "running" and not now.trouble:
            note = self._step.note
            self._stage.update(
                self._step.step, self._step.total, note if note != self._said else ""
            )
            self._said = note
        else:
            self.tell("; ".join(dict.fromkeys(now.trouble)) or now.state.words)
        if now.state.phase == "done":
            self._stage.finish(self._step.note)
            return True
        if now.stopped is not None and now.state.has_ended:
            raise Stopped(now.stopped)
        if now.state.phase in ("stopped", "failed"):
            raise Failure(f"{now.job}: {now.state.words}; see `ttsrl logs`")
        return now.state.phase == "paused"


def _holds_gpus(pod: Object) -> bool:
    return gpus_wanted(pod) > 0
