"""The job of a Ray cluster that this process is the entrypoint of, as in a RayJob."""

from __future__ import annotations

import json
import os
import time

from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR
from ray.job_submission import JobSubmissionClient

STOP_DEADLINE_S = 60.0


def own_submission_id() -> str | None:
    """What Ray calls the job; None where this process was started otherwise."""
    config = json.loads(os.environ.get(RAY_JOB_CONFIG_JSON_ENV_VAR) or "{}")
    return (config.get("metadata") or {}).get("job_submission_id")


def end_as_stopped() -> None:
    """Have Ray end this process and remember its job as STOPPED.

    KubeRay starts a job anew that has failed, whatever its exit code, and one that was stopped
    never. Returns where this is no such job, or Ray does not do it in time.
    """
    if (job := own_submission_id()) is None:
        return
    try:
        JobSubmissionClient().stop_job(job)
    except Exception as error:  # the client raises plain ones for whatever the server says
        print(f"Ray's job {job} cannot be stopped, it fails instead: {error}", flush=True)
        return
    time.sleep(STOP_DEADLINE_S)  # SIGTERM ends this
