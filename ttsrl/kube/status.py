"""What a release's jobs are doing, in words: state, pods, why one is pending, the last step."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ttsrl.errors import Failure, Stopped
from ttsrl.kube import follow, training
from ttsrl.kube.cluster import OUTAGE_S, Cluster
from ttsrl.kube.names import RUN_LABEL, Names
from ttsrl.kube.objects import Object, condition, labels_of, part
from ttsrl.kube.pending import why_pending
from ttsrl.kube.state import JobState, state_of
from ttsrl.records.step_line import POLICY, StepLine, policy_of
from ttsrl.runtime.exit_codes import STOPPED_BY
from ttsrl.runtime.progress import Progress

POLL_S = 3.0
LOOK_EVERY_S = 60.0
ON_NODES = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
"""Pods that hold something of a node."""
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
    """Nodes of the cluster and the pods on them; asked for at most once in LOOK_EVERY_S."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._until = 0.0
        self.nodes: Sequence[Object] | None = None
        self.pods: Sequence[Object] | None = None

    def look(self) -> None:
        """Ask, unless the last answer is young."""
        if time.monotonic() < self._until:
            return
        self.nodes = self._cluster.items("/api/v1/nodes")
        if self.nodes is not None:
            self.pods = self._cluster.items("/api/v1/pods", {"fieldSelector": ON_NODES})
        self._until = time.monotonic() + LOOK_EVERY_S


def status(cluster: Cluster, names: Names, surroundings: Surroundings | None = None) -> Status:
    """Ask the cluster. Raises BadInput where the release has no training job."""
    around = surroundings or Surroundings(cluster)
    kind, job = training.the_job(cluster, names)
    found = training.pods(cluster, names)
    waiting = [pod for pod in found if part(pod, "status").get("phase") == "Pending"]
    events: list[Object] = []
    if waiting:
        around.look()
        events += cluster.items(cluster.core("events")) or []
    lines: list[str] = []
    trouble: list[str] = []
    for pod in found:
        why = why_pending(pod, around.nodes, around.pods, events)
        trouble += [why] if why else []
        lines.append(pod_line(pod, why))
    driver = training.driver(kind, names, found)
    log = _log(cluster, driver, tail_lines=TAIL_LINES)
    return Status(
        f"{job['kind']} {names.train}",
        state_of(job),
        lines,
        trouble,
        StepLine.last_of(log),
        policy_of(_log(cluster, driver, first_bytes=HEAD_BYTES)),
        next((line.removeprefix(STOPPED_BY) for line in log if line.startswith(STOPPED_BY)), None),
        names.run,
    )


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


def watch(cluster: Cluster, names: Names, progress: Progress) -> None:
    """Show progress until the job has ended. Raises Failure where it failed."""
    cluster.patience_s = OUTAGE_S
    around = Surroundings(cluster)
    stage = progress.stage(names.train)
    said = ""
    while True:
        now = status(cluster, names, around)
        words = "; ".join(dict.fromkeys(now.trouble)) or now.state.words
        if now.step is not None and now.state.phase == "running" and not now.trouble:
            note = now.step.note
            stage.update(now.step.step, now.step.total, note if note != said else "")
            said = note
        elif words != said:
            last = now.step or StepLine(0, 1, "")
            stage.update(last.step, last.total, words)
            said = words
        if now.state.phase == "done":
            stage.finish(now.step.note if now.step else "")
            return
        if now.state.phase == "paused":
            return
        if now.stopped is not None and now.state.has_ended:
            raise Stopped(now.stopped)
        if now.state.phase in ("stopped", "failed"):
            raise Failure(f"{now.job}: {now.state.words}; see `ttsrl logs`")
        time.sleep(POLL_S)


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
