"""What a release's jobs are doing, in words: state, pods, why one is pending, the last step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ttsrl.errors import Failure
from ttsrl.kube import follow, training
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import Kind
from ttsrl.kube.names import RUN_LABEL, Names
from ttsrl.kube.objects import Object, condition, labels_of, part
from ttsrl.kube.pending import ON_NODES, why_pending
from ttsrl.kube.queueing import why_queued
from ttsrl.kube.state import JobState, as_told, state_of
from ttsrl.records.step_line import POLICY, StepLine, policy_of
from ttsrl.runtime.exit_codes import STOPPED_BY

TAIL_LINES = 200
HEAD_BYTES = 256 * 1024
"""Of a log, in which its line of the policy stands."""


@dataclass(frozen=True)
class Status:
    """A training job as it is now."""

    job: str
    state: JobState
    pods: list[str] = field(default_factory=list[str])
    """A line a pod."""
    trouble: list[str] = field(default_factory=list[str])
    """Why pods do not run."""
    step: StepLine | None = None
    """The last step that the log tells of."""
    policy: str = ""
    """Id and commit of what is trained; empty where it is a folder, or not yet known."""
    stopped: str | None = None
    """What the log says of the guard that ended the run."""
    run: str = ""

    def as_json(self, evaluation: Sequence[str]) -> dict[str, Any]:
        """The same for programs; `evaluation` has the lines of its other jobs."""
        step = self.step and {"step": self.step.step, "total": self.step.total}
        return {
            "run": self.run,
            "job": self.job,
            "phase": self.state.phase,
            "state": self.state.words,
            "pods": self.pods,
            "trouble": self.trouble,
            "step": step,
            "policy": self.policy or None,
            "stopped_by": self.stopped,
            "evaluation": list(evaluation),
        }

    def lines(self) -> list[str]:
        """All of it, as a user reads it."""
        lines = [f"{self.job}: {self.state.words}", *(f"  {line}" for line in self.pods)]
        if self.policy:
            lines.append(f"{POLICY}{self.policy}")
        if self.step is not None:
            lines.append(str(self.step))
        if self.stopped is not None:
            lines.append(f"{STOPPED_BY}{self.stopped}")
        return lines


class Surroundings:
    """Nodes of the cluster and the pods on them; asked for at most once."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._is_known = False
        self.nodes: Sequence[Object] | None = None
        self.pods: Sequence[Object] | None = None

    def look(self) -> None:
        """Ask, unless that was done before."""
        if self._is_known:
            return
        self.nodes = self._cluster.items("/api/v1/nodes")
        if self.nodes is not None:
            self.pods = self._cluster.items("/api/v1/pods", {"fieldSelector": ON_NODES})
        self._is_known = True


def status(cluster: Cluster, names: Names, surroundings: Surroundings | None = None) -> Status:
    """Ask the cluster. Raises BadInput where the release has no training job."""
    around = surroundings or Surroundings(cluster)
    kind, job = training.the_job(cluster, names)
    found = training.pods(cluster, names)
    events: list[Object] = []
    if any(is_pending(pod) for pod in found):
        around.look()
        events += cluster.items(cluster.core("events")) or []
    now = told(cluster, names, kind, job, found, around.nodes, around.pods, events)
    driver = training.driver(kind, found)
    return replace(now, policy=policy_of(_log(cluster, driver, first_bytes=HEAD_BYTES)))


def told(
    cluster: Cluster,
    names: Names,
    kind: Kind,
    job: Object,
    pods: Sequence[Object],
    nodes: Sequence[Object] | None,
    everyone: Sequence[Object] | None,
    events: Sequence[Object],
) -> Status:
    """What these objects and the end of the log say.

    Of the cluster nothing else is asked but, for a job that is suspended, why it waits.
    """
    whys = [why_pending(pod, nodes, everyone, events) for pod in pods]
    log = _log(cluster, training.driver(kind, list(pods)), tail_lines=TAIL_LINES)
    stopped = (line.removeprefix(STOPPED_BY) for line in log if line.startswith(STOPPED_BY))
    said = next(stopped, None)
    state = as_told(state_of(job), said)
    if state.phase == "suspended" and (why := why_queued(cluster, job)):
        state = replace(state, words=f"{state.words}: {why}")
    return Status(
        f"{job['kind']} {job['metadata']['name']}",
        state,
        [pod_line(pod, why) for pod, why in zip(pods, whys, strict=True)],
        [why for why in whys if why],
        StepLine.last_of(log),
        "",
        said,
        names.run,
    )


def is_pending(pod: Object) -> bool:
    """Whether its containers do not run yet."""
    return part(pod, "status").get("phase") == "Pending"


def for_programs(cluster: Cluster, names: Names, run: str | None) -> str:
    """JSON: the state of one run, or, where none is named, a list of those of all runs."""
    around = Surroundings(cluster)

    def state(of: Names) -> dict[str, Any]:
        return status(cluster, of, around).as_json(evaluation(cluster, of))

    if run is not None:
        return json.dumps(state(names), indent=2)
    found = dict.fromkeys(labels_of(job).get(RUN_LABEL) for job in training.runs(cluster, names))
    return json.dumps([state(names.of_run(one)) for one in found if one is not None], indent=2)


def pod_line(pod: Object, why: str) -> str:
    """`ttsrl-train-abc-head  Running on node-1`, or why it does not."""
    phase = part(pod, "status").get("phase", "Unknown")
    node = part(pod, "spec").get("nodeName")
    place = f" on {node}" if node else ""
    if phase == "Running" and (ready := condition(pod, "Ready")) and ready["status"] != "True":
        phase = "Starting"
    return f"{pod['metadata']['name']}: {phase}{place}{f': {why}' if why else ''}"


def evaluation(cluster: Cluster, names: Names) -> list[str]:
    """A line for each job of merge and evaluation that is there; below them how the last evaluated
    checkpoint compares with the base."""
    found = cluster.items(
        cluster.group("batch/v1", "jobs"),
        {"labelSelector": names.selector},
    )
    jobs = [job_line(job) for job in found or [] if _is_evaluation(job)]
    return [*jobs, *follow.lines(cluster, names)]


def job_line(job: Object) -> str:
    """How far a Job is."""
    name, now = job["metadata"]["name"], part(job, "status")
    total = part(job, "spec").get("completions") or 1
    done = now.get("succeeded", 0)
    failed = condition(job, "Failed")
    if failed is not None and failed["status"] == "True":
        return f"Job {name}: failed: {failed.get('message', failed.get('reason', ''))}"
    if done >= total:
        return f"Job {name}: done"
    count = f"{done} of {total} done, " if total > 1 else ""
    return f"Job {name}: {count}{now.get('active', 0)} running, {now.get('failed', 0)} failed"


def _log(
    cluster: Cluster,
    pod: Object | None,
    tail_lines: int | None = None,
    first_bytes: int | None = None,
) -> list[str]:
    """Lines; none where there is no pod, or its node does not answer: all else can be told."""
    if pod is None:
        return []
    try:
        name = pod["metadata"]["name"]
        return cluster.log(name, tail_lines=tail_lines, limit_bytes=first_bytes).splitlines()
    except Failure:
        return []


def _is_evaluation(job: Object) -> bool:
    labels = part(job, "metadata", "labels")
    return labels.get("app.kubernetes.io/component") in ("merge", "eval", "follow")
