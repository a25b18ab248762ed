"""What a pod of a RayJob does before it goes (preStop): training saves a checkpoint first.

Kubernetes tells a pod's first process that it has to end, which in Ray's pods is Ray. The driver of
the job is told here; it runs on the head. A worker asks the head, by a small Ray job.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path

import psutil

POLL_S = 0.5
MARK, ASKED = "driver.json", "driver-asked.json"
DASHBOARD_PORT = 8265
ANSWER_S = 5.0
"""A head that does not answer in this time goes itself."""


def mark(work_dir: Path) -> None:
    """Say in a folder which process trains there."""
    work_dir.mkdir(parents=True, exist_ok=True)
    (work_dir / ASKED).unlink(missing_ok=True)
    here = psutil.Process()
    whole = json.dumps({"pid": here.pid, "started": here.create_time()})
    (work_dir / MARK).write_text(whole, encoding="utf-8")


def leave(work_dir: Path, grace_s: float) -> str:
    """Ask the process that trains in a folder to save and to end, once however often this is
    called, and wait for its end; in words."""
    try:
        (work_dir / MARK).rename(work_dir / ASKED)
        is_first = True
    except FileNotFoundError:
        is_first = False
    driver = _driver(work_dir / ASKED)
    if driver is None:
        return "nothing trains here"
    if is_first:
        driver.terminate()
    try:
        driver.wait(grace_s)
    except psutil.TimeoutExpired:
        return f"training has not ended within {grace_s:.0f} s"
    return "training has ended"


def ask_head(work_dir: Path, grace_s: float) -> str:
    """Have `leave` done on the head of this worker's cluster; in words."""
    import httpx
    from ray.job_submission import JobSubmissionClient

    host = os.environ.get("RAY_ADDRESS", "").rpartition(":")[0]
    address = f"http://{host}:{DASHBOARD_PORT}"
    try:
        httpx.get(f"{address}/api/version", timeout=ANSWER_S)
    except (httpx.HTTPError, httpx.InvalidURL):
        return f"the head does not answer at {address}: it goes, too"
    command = shlex.join(
        ["ttsrl", "job", "leave", "--work-dir", str(work_dir), "--grace-s", f"{grace_s:g}"]
    )
    deadline = time.monotonic() + grace_s
    try:
        client = JobSubmissionClient(address)
        job = client.submit_job(entrypoint=command)
        while not client.get_job_status(job).is_terminal():
            if time.monotonic() > deadline:
                return f"training has not ended within {grace_s:.0f} s"
            time.sleep(POLL_S)
    except Exception as error:  # the client raises plain ones for whatever the server says
        return f"the head was asked, and does not answer any more: {error}"
    return "training has ended"


def _driver(file: Path) -> psutil.Process | None:
    """The process that a mark names, if it still runs."""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        found = psutil.Process(said["pid"])
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return found if found.create_time() == said["started"] else None
