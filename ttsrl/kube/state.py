"""How far a training job is, from what its operator says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttsrl.kube.objects import Object, entries, part

Phase = Literal[
    "starting", "running", "retrying", "suspended", "paused", "done", "stopped", "failed"
]


@dataclass(frozen=True)
class JobState:
    """A training job's phase, and the same in words."""

    phase: Phase
    words: str

    @property
    def has_ended(self) -> bool:
        return self.phase in ("done", "stopped", "failed")


PAUSED = "ttsrl.dev/paused"
"""Annotation of a job that `ttsrl stop` has suspended."""


def state_of(job: Object) -> JobState:
    """The state of a training job of any kind."""
    if PAUSED in part(job, "metadata", "annotations"):
        return JobState("paused", "suspended by `ttsrl stop`; `ttsrl submit` resumes it")
    of_kind = {"RayJob": _of_rayjob, "PyTorchJob": _of_pytorchjob, "TrainJob": _of_trainjob}
    return of_kind[job["kind"]](job)


def as_told(state: JobState, stopped: str | None) -> JobState:
    """The state of a job with what its log says of the guard that ended it, if one did.

    Only Ray knows jobs that were stopped: other operators call one failed whose exit code is 3.
    """
    if stopped is None or state.phase != "failed":
        return state
    return JobState("stopped", "stopped by a guard: it is not retried; see `ttsrl logs`")


def _of_rayjob(job: Object) -> JobState:
    """jobStatus is not asked: it stays RUNNING when the cluster beneath it is gone."""
    status = part(job, "status")
    failed = int(status.get("failed") or 0)
    attempts = int(job["spec"].get("backoffLimit") or 0) + 1
    attempt = f"attempt {min(failed + 1, attempts)} of {attempts}"
    why = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
    match status.get("jobDeploymentStatus") or "":
        case "":
            return JobState("starting", "not seen by KubeRay yet; is the operator running?")
        case "Initializing" | "Waiting":
            return JobState("starting", f"its Ray cluster is starting, {attempt}")
        case "Running":
            return JobState("running", f"running, {attempt}")
        case "Retrying":
            return JobState("retrying", f"an attempt failed, a new Ray cluster comes, {attempt}")
        case "Suspending" | "Suspended":
            return JobState("suspended", "suspended: its queue has not admitted it")
        case "Complete" if status.get("jobStatus") == "STOPPED":
            return JobState(
                "stopped",
                "stopped by a guard, for bad input, after too many starts without a new "
                "checkpoint, or by `ray job stop`: it is not retried; see `ttsrl logs`",
            )
        case "Complete":
            return JobState("done", f"done, {attempt}")
        case other:
            return JobState("failed", f"{other} after {failed or 1} of {attempts} attempts: {why}")


def _of_pytorchjob(job: Object) -> JobState:
    true = [one for one in entries(job, "status", "conditions") if one["status"] == "True"]
    if part(job, "spec", "runPolicy").get("suspend"):
        return JobState("suspended", "suspended: its queue has not admitted it")
    if not true:
        return JobState("starting", "not seen by the training operator yet; is it running?")
    last = true[-1]
    match last["type"]:
        case "Succeeded":
            return JobState("done", "done")
        case "Failed":
            return JobState("failed", f"failed: {last.get('message', '')}")
        case "Restarting":
            return JobState("retrying", f"restarting: {last.get('message', '')}")
        case "Running":
            return JobState("running", "running")
        case _:
            return JobState("starting", "its pods are starting")


def _of_trainjob(job: Object) -> JobState:
    for one in entries(job, "status", "conditions"):
        if one["status"] == "True" and one["type"] == "Complete":
            return JobState("done", "done")
        if one["status"] == "True" and one["type"] == "Failed":
            return JobState("failed", f"failed: {one.get('message', '')}")
    if part(job, "spec").get("suspend"):
        return JobState("suspended", "suspended: its queue has not admitted it")
    pods = entries(job, "status", "jobsStatus")
    if any(one.get("ready") for one in pods):
        return JobState("running", "running")
    if pods:
        return JobState("starting", "its pods are starting, or start again")
    return JobState("starting", "not seen by Kubeflow Trainer yet; is it running?")
