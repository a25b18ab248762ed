"""A real MLflow tracking server, on loopback unless said otherwise."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.tracked_run import wait_for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, port: int, host: str = "127.0.0.1") -> Generator[str]:
    """Its address, once it answers; its database and artifacts are in the folder."""
    folder.mkdir(exist_ok=True)
    log = (folder / "server.log").open("ab")
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", host),
            *("--port", str(port), "--workers", "1", "--allowed-hosts", f"{host}:{port}"),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        stdout=log,
        stderr=log,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
    )
    address = f"http://{host}:{port}"
    try:
        wait_for(lambda: server.poll() is not None or _answers(address))
        assert server.poll() is None, (folder / "server.log").read_text()
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
