"""How far a training job is, from what its operator says. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ttsrl.kube.objects import Object, entries, part

Phase = Literal["starting", "running", "retrying", "suspended", "done", "failed"]


@dataclass(frozen=True)
class State:
    """A training job's phase, and the same in words."""

    phase: Phase
    words: str

    @property
    def has_ended(self) -> bool:
        return self.phase in ("done", "failed")


def state_of(job: Object) -> State:
    """The state of a RayJob or PyTorchJob."""
    return _of_rayjob(job) if job["kind"] == "RayJob" else _of_pytorchjob(job)


def _of_rayjob(job: Object) -> State:
    """jobStatus is not asked: it stays RUNNING when the cluster beneath it is gone."""
    status = part(job, "status")
    failed = int(status.get("failed") or 0)
    attempts = int(job["spec"].get("backoffLimit") or 0) + 1
    attempt = f"attempt {min(failed + 1, attempts)} of {attempts}"
    why = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
    match status.get("jobDeploymentStatus") or "":
        case "":
            return State("starting", "not seen by KubeRay yet; is the operator running?")
        case "Initializing" | "Waiting":
            return State("starting", f"its Ray cluster is starting, {attempt}")
        case "Running":
            return State("running", f"running, {attempt}")
        case "Retrying":
            return State("retrying", f"an attempt failed, a new Ray cluster comes, {attempt}")
        case "Suspending" | "Suspended":
            return State("suspended", "suspended: its queue has not admitted it")
        case "Complete":
            return State("done", f"done, {attempt}")
        case other:
            return State("failed", f"{other} after {failed or 1} of {attempts} attempts: {why}")


def _of_pytorchjob(job: Object) -> State:
    true = [one for one in entries(job, "status", "conditions") if one["status"] == "True"]
    if part(job, "spec", "runPolicy").get("suspend"):
        return State("suspended", "suspended: its queue has not admitted it")
    if not true:
        return State("starting", "not seen by the training operator yet; is it running?")
    last = true[-1]
    match last["type"]:
        case "Succeeded":
            return State("done", "done")
        case "Failed":
            return State("failed", f"failed: {last.get('message', '')}")
        case "Restarting":
            return State("retrying", f"restarting: {last.get('message', '')}")
        case "Running":
            return State("running", "running")
        case _:
            return State("starting", "its pods are starting")
