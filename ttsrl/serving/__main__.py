"""Serves rewards: python -m ttsrl.serving --config run.json --port 8000.

BentoML's server without its supervisor, because Kubernetes, or the command that started it,
restarts it; the worker processes that measure are the service's own.
"""

from __future__ import annotations

import argparse
import errno
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ttsrl.config.load import load_run
from ttsrl.errors import BadInput


def main() -> None:
    """Exits with 0 after SIGTERM, 130 after Ctrl-C, 2 for what the user can fix, else 1."""
    parser = argparse.ArgumentParser(prog="python -m ttsrl.serving", description=__doc__)
    parser.add_argument("--config", required=True, help="the run's JSON file")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    try:
        load_run(arguments.config)
        listener = listen(arguments.host, arguments.port)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"reward service on http://{arguments.host}:{arguments.port}, loading", flush=True)
    serve(arguments.config, listener)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises BadInput when the address cannot be had."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BadInput(
                f"port {port} of {host} is taken; stop what listens there, or give another --port"
            ) from None
        raise BadInput(
            f"cannot listen on {host}:{port}: {error.strerror}; give another --host or --port"
        ) from None


def leave(number: int, _: object) -> None:
    """Comes last: uvicorn raises the signal again once it has stopped."""
    service = sys.modules.get("ttsrl.serving.service")
    interrupted = 130 if number == signal.SIGINT else 0
    sys.exit(getattr(service, "exit_code", 0) or interrupted)


def serve(config: str, listener: socket.socket) -> None:
    """Runs BentoML's worker on the socket until SIGTERM or Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    with TemporaryDirectory(prefix="ttsrl-reward-") as home:
        os.environ |= {
            "TTSRL_RUN_CONFIG": str(Path(config).absolute()),
            # A home of its own: services of one machine would delete each other's metrics.
            "BENTOML_HOME": home,
            "PROMETHEUS_MULTIPROC_DIR": home,
            "BENTOML_DO_NOT_TRACK": "True",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }
        import uvicorn.config
        from _bentoml_impl.worker.service import main as bentoml_worker

        # BentoML hands its options to uvicorn, and has none for what speaks HTTP.
        uvicorn.config.HTTP_PROTOCOLS["auto"] = "ttsrl.serving.connection:Connection"
        raise_file_limit()

        service = "ttsrl.serving.service:RewardService"
        fd = str(listener.detach())
        bentoml_worker([service, "--fd", fd, "--worker-id", "1"], standalone_mode=False)


def raise_file_limit() -> None:
    """As many open connections as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    main()
