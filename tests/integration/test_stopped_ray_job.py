"""A Ray job whose run a guard stops: Ray remembers it as STOPPED, which KubeRay does not retry."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from support.paths import ROOT

ENTRYPOINT = ROOT / "tests/support/stopped_entrypoint.py"
ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)}
RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.fixture
def dashboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a Ray cluster of this machine that takes jobs."""
    if " " in sys.executable:
        pytest.skip("`ray start` has a client server that does not start in a path with a space")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    port, web, agent = free_ports(3)
    folder = Path("/tmp") / f"ttsrl-ray-{os.getpid()}"  # Ray's sockets take no long path
    command = [*RAY, "start", "--head", "--block", f"--port={port}", "--num-cpus=2"]
    command += ["--include-dashboard=true", f"--dashboard-port={web}", f"--temp-dir={folder}"]
    command += [f"--dashboard-agent-listen-port={agent}", "--disable-usage-stats"]
    command += ["--object-store-memory=100000000", "--min-worker-port=0", "--max-worker-port=0"]
    with (tmp_path / "ray.log").open("w") as log:
        ray = subprocess.Popen(
            command, stdout=log, stderr=log, env=ENVIRONMENT, start_new_session=True
        )
    try:
        wait_until_it_answers(f"http://127.0.0.1:{web}/api/version", ray)
        yield f"http://127.0.0.1:{web}"
    finally:
        os.killpg(ray.pid, signal.SIGTERM)
        try:
            ray.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(ray.pid, signal.SIGKILL)


def wait_until_it_answers(url: str, ray: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while True:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert ray.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.timeout(600)
def test_a_job_that_a_guard_stops_is_stopped_and_not_failed(dashboard: str) -> None:
    job = ["--submission-id", "guarded", "--no-wait", "--", sys.executable, str(ENTRYPOINT)]
    submitted = ray_job("submit", dashboard, *job)
    assert submitted.returncode == 0, submitted.stderr
    # what KubeRay's submitter does next: its exit code is that of its Job, which is tried again
    # where Ray's dashboard drops the connection
    followed = ray_job("logs", dashboard, "--follow", "guarded")
    for _ in range(2):
        if "WebSocket" in followed.stderr:
            followed = ray_job("logs", dashboard, "--follow", "guarded")
    assert followed.returncode == 0, followed.stderr
    assert "stopped: guard pitch at step 7" in followed.stdout.splitlines()
    assert JobSubmissionClient(dashboard).get_job_status("guarded") == JobStatus.STOPPED


def ray_job(command: str, dashboard: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RAY, "job", command, "--address", dashboard, *arguments],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
    )
