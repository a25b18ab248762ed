"""verl's main program and Ray's workers of a run on a CPU, forked off one process.

Each of verl's seven processes imports the same modules, most of them one after the other: 8 s of a
core and 600 MB each. A machine with few cores waits for that longer than for the training steps.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ttsrl.errors import BadInput
from ttsrl.runtime.preloaded import serve_forks
from ttsrl.runtime.scratch import scratch
from ttsrl.training.environment import has_gpu

FORK = "TTSRL_FORK_WORKERS"
"""Environment variable: 0 has each process import its own modules."""
MODULES = (
    "ray._private.workers.default_worker",
    "ttsrl.training.trainer",
    "ttsrl.training.rollout_worker",
    "ttsrl.training.plugin.torch_rollout",
    "ttsrl.training.verl_main",
)
BEFORE_IMPORT = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy would start threads while it is imported, and a process with threads cannot be forked."""
FIRST_JOB = "01000000"
"""What Ray calls the first job of a cluster: the only one of a Ray that is this run's alone."""


@contextmanager
def place_of_forks(device: str) -> Generator[Path | None]:
    """Where workers ask to be forked; None where each imports its own modules."""
    if os.environ.get(FORK, "1") not in ("0", "1"):
        raise BadInput(f"{FORK} = {os.environ[FORK]!r}: it is 0 or 1")
    # verl asks for CUDA while it is imported, and CUDA cannot be used after a fork
    if device != "cpu" or has_gpu() or os.environ.get(FORK) == "0":
        yield None
        return
    # a folder of its own: others may write to Ray's
    with scratch("ttsrl-forks-") as folder:
        yield folder / "socket"


def run_verl(keys_file: Path, forks: Path | None) -> None:
    """verl's main program; it loads too much for the process that supervises it."""
    if forks is not None:
        _import_for_all()
        serve_forks(forks, _be_worker)
    from ttsrl.training.verl_main import main

    main(keys_file)


def _import_for_all() -> None:
    """Import what verl's processes need."""
    # these two Ray reads once, while it is imported: a worker's job, and the raylet that it ends
    # with; one that is forked ends with its raylet by other means
    of_workers = {"RAY_JOB_ID": FIRST_JOB, "RAY_RAYLET_PID": str(os.getpid())}
    os.environ.update(of_workers)
    for module in MODULES:
        importlib.import_module(module)
    for name in of_workers:
        del os.environ[name]


def _be_worker() -> None:
    """Have Ray read the rest of a worker's environment again, such as whether it needs a token."""
    if os.environ["RAY_JOB_ID"] != FIRST_JOB:
        os.execv(sys.executable, [sys.executable, *sys.argv])
    from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue]

    Config.initialize("")
