"""verl's main program and Ray's workers of a run on one machine, forked off one process.

Each of verl's seven processes imports the same modules, most of them one after the other: 8 s of a
core and 600 MB each, with vLLM 20 to 30 s. A machine with few cores waits for that longer than for
the training steps.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from ttsrl.errors import BadInput
from ttsrl.models.hub import local_folder
from ttsrl.runtime.preloaded import ALONE, low_numbers_kept, serve_forks, unfit
from ttsrl.runtime.scratch import scratch
from ttsrl.training import preloaded_gpu
from ttsrl.training.environment import device_of, has_gpu, run_here
from ttsrl.training.verl_args import rollout_engine

FORK = "TTSRL_FORK_WORKERS"
"""Environment variable: 0 has each process import its own modules; 1 forks them with several GPUs,
too."""
MODULES = (
    "ray._private.workers.default_worker",
    "ttsrl.training.trainer",
    "ttsrl.training.rollout_worker",
    "ttsrl.training.plugin.torch_rollout",
    "ttsrl.training.verl_main",
)
POLL_S = 0.05
FIRST_JOB = "01000000"
"""What Ray calls the first job of a cluster: the only one of a Ray that is this run's alone."""


@contextmanager
def place_of_forks(device: str, per_machine: int) -> Generator[Path | None]:
    """Where workers ask to be forked; None where each imports its own modules.

    `per_machine`: the processes of a machine that train (`train.gpus_per_node`).
    """
    # with several GPUs on request only: no training has yet gone through its steps so
    fork = os.environ.get(FORK, "1" if device == "cpu" or per_machine == 1 else "0")
    if fork not in ("0", "1"):
        raise BadInput(f"{FORK} = {fork!r}: it is 0 or 1")
    # a run on a CPU beside a GPU hides that from some of its processes alone
    beside_gpu = device == "cpu" and has_gpu()
    if beside_gpu or fork == "0":
        yield None
        return
    # a folder of its own: others may write to Ray's
    with scratch("ttsrl-forks-") as folder:
        yield folder / "socket"


def before_import(device: str) -> dict[str, str]:
    """Variables without which the process that imports for all could not be forked."""
    # numpy would start threads while it is imported
    variables = {"OPENBLAS_NUM_THREADS": "1"}
    return variables if device == "cpu" else variables | preloaded_gpu.before_import()


def run_verl(told: Path, forks: Path | None) -> None:
    """verl's main program; it loads too much for the process that supervises it.

    `told`: a file with the name of that of verl's keys, and with variables, which may still be
    written while this imports.
    """
    with low_numbers_kept():
        fits = forks is not None and _import_for_all()
        keys_file = _wait_for(told)
        fits = fits and _know_policy()
    if forks is not None and fits:
        serve_forks(forks, partial(_be_worker, dict(os.environ)))
    from ttsrl.training.verl_main import main

    main(keys_file)


def _wait_for(told: Path) -> Path:
    """Set the variables of a file once it is there; the name of the file of verl's keys."""
    while not told.exists():
        time.sleep(POLL_S)
    start = json.loads(told.read_text(encoding="utf-8"))
    os.environ.update(start["variables"])
    return Path(start["keys"])


def _import_for_all() -> bool:
    """Import what verl's processes need.

    False where that has left what a fork would lose, which is then on the log.
    """
    # these two Ray reads once, while it is imported: a worker's job, and the raylet that it ends
    # with; one that is forked ends with its raylet by other means
    of_workers = {"RAY_JOB_ID": FIRST_JOB, "RAY_RAYLET_PID": str(os.getpid())}
    os.environ.update(of_workers)
    run = run_here()
    device = device_of(run)
    vllm = rollout_engine(run, device) == "vllm"
    modules = preloaded_gpu.with_vllm(MODULES) if vllm else MODULES
    fits = False
    try:
        with preloaded_gpu.capability_by_nvml() if device == "cuda" else nullcontext():
            fits = all(map(_import, modules))
    except Exception as error:  # it fails again where it is needed, and tells all of it there
        print(f"{ALONE}: {type(error).__name__}: {error}", flush=True)
    for name in of_workers:
        del os.environ[name]
    return fits


def _know_policy() -> bool:
    """Import the policy's class where vLLM needs it: before the run was checked it may be absent.

    False where that has failed, which is then on the log.
    """
    run = run_here()
    device = device_of(run)
    if rollout_engine(run, device) != "vllm":
        return True
    try:
        with preloaded_gpu.capability_by_nvml():
            preloaded_gpu.know_model(local_folder(run.model))
    except Exception as error:  # vLLM's server fails in the same way, and tells all of it
        print(f"{ALONE}: {type(error).__name__}: {error}", flush=True)
        return False
    preloaded_gpu.leave_nvml()
    return True


def _import(module: str) -> bool:
    """False, and why on the log, where it has left what a fork would lose."""
    importlib.import_module(module)
    preloaded_gpu.leave_nvml()
    if found := unfit():
        print(f"{ALONE}, because {module} has left {found}", flush=True)
    return not found


def _be_worker(imported_with: Mapping[str, str]) -> bool:
    """Have libraries read again what they have read of the environment; False: start as usual.

    `imported_with`: the environment that they have read.
    """
    # what a worker starts is of its job
    if os.environ["RAY_JOB_ID"] != FIRST_JOB:
        return False
    if has_gpu() and not preloaded_gpu.fits_fork(imported_with):
        return False
    from ray._raylet import Config  # pyright: ignore[reportAttributeAccessIssue]

    Config.initialize("")  # such as whether a worker needs a token
    return True
