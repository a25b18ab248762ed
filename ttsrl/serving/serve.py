"""Serves a run's rewards over HTTP: BentoML's ASGI application in a server of this process.

Without BentoML's supervisor: Kubernetes, or the command that started this one, restarts it, and the
worker processes that measure are the service's own.
"""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import socket
import sys
from pathlib import Path

from pydantic import ValidationError

from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.runtime import addresses
from ttsrl.runtime.exit_codes import DONE, FAILED, INTERRUPTED
from ttsrl.runtime.scratch import scratch
from ttsrl.serving.lifecycle import lifecycle


class Left(BaseException):
    """A signal ends the process. Not an Exception, which importing modules might catch."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


def serve(config: Path, host: str, port: int) -> int:
    """Serve until SIGTERM or Ctrl-C, then drain. Belongs on the main thread of its process.

    Returns the exit code: 0 after SIGTERM, 130 after Ctrl-C, 2 when the models cannot be loaded for
    a reason that the user can change, else 1. Raises BadInput for a configuration or an address
    that cannot be used.
    """
    load_run(config)
    listener = listen(host, port)
    print(f"reward service on http://{addresses.with_port(host, port)}, loading", flush=True)
    raise_file_limit()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    with scratch("ttsrl-reward-") as home:
        os.environ |= environment(config, str(home))
        return run_server(listener)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises BadInput when the address cannot be had."""
    try:
        return addresses.listen(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BadInput(
                f"port {port} of {host} is taken; stop what listens there, or give another --port"
            ) from None
        raise BadInput(
            f"cannot listen on {addresses.with_port(host, port)}: {error.strerror}; give another "
            "--host or --port"
        ) from None


def environment(config: Path, home: str) -> dict[str, str]:
    """What the service, BentoML and prometheus_client read from the environment."""
    return {
        "TTSRL_RUN_CONFIG": str(config.absolute()),
        # In a pod only the folder for temporary files may be written to.
        "BENTOML_HOME": home,
        "PROMETHEUS_MULTIPROC_DIR": home,
        "BENTOML_DO_NOT_TRACK": "True",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }


def run_server(listener: socket.socket) -> int:
    """Run the service on the socket until a signal ends it; returns the exit code."""
    try:
        # Imported here because they read the environment when they are imported.
        import uvicorn

        from ttsrl.serving.connection import Connection
        from ttsrl.serving.service import RewardService

        log_to_stdout()
        # BentoML's own server has no option for the class that speaks HTTP (README.md).
        application = RewardService.to_asgi()
        options = uvicorn.Config(application, http=Connection, log_config=None, server_header=False)
        uvicorn.Server(options).run(sockets=[listener])
    except Left as left:
        return lifecycle.exit_code or left.exit_code
    return FAILED


def leave(number: int, _: object) -> None:
    """Handles a signal while modules load, and again once uvicorn, which takes it over, ends."""
    raise Left(INTERRUPTED if number == signal.SIGINT else DONE)


def log_to_stdout() -> None:
    """Warnings of every library, and what this package reports."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(is_not_bad_body)
    logging.basicConfig(
        format="%(asctime)s [%(levelname)s] %(name)s: %(message)s", handlers=[handler]
    )
    logging.getLogger("ttsrl").setLevel(logging.INFO)


def is_not_bad_body(record: logging.LogRecord) -> bool:
    """Drops the traceback that BentoML logs for each body it refuses with a 400."""
    return not (record.exc_info and isinstance(record.exc_info[1], ValidationError))


def raise_file_limit() -> None:
    """As many open connections as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
