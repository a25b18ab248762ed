"""What the processes of a run find in their environment, wherever Ray starts them."""

from __future__ import annotations

import json
import os
import platform
from functools import cache
from pathlib import Path

import psutil

from ttsrl.config.load import dump_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.models.hub import local_folder
from ttsrl.wire import ServiceSpec

RUN = "TTSRL_RUN"
"""The resolved run as JSON: a machine that joins needs no file of it."""

POLICY = "TTSRL_POLICY"
"""Folder of the policy on the machine that started the run."""

REWARD = "TTSRL_REWARD"
"""What the run's reward service measures (`ttsrl.wire.ServiceSpec`), as JSON."""


def run_here() -> RunConfig:
    """The run that this process belongs to."""
    return _parsed(os.environ[RUN])


def ray_address() -> str | None:
    """Address of the Ray cluster that is there to be used; None: one is started on this machine."""
    return os.environ.get("RAY_ADDRESS")


def device_of(run: RunConfig) -> str:
    """The device that `auto` stands for: cuda where NVIDIA's driver is.

    The machine that starts a run on a cluster may have no GPU: there it must be said.
    """
    if run.train.device != "auto":
        return run.train.device
    return "cuda" if ray_address() or has_gpu() else "cpu"


def has_gpu() -> bool:
    """Whether NVIDIA's driver is on this machine."""
    return Path("/dev/nvidiactl").exists()


def gpus_here(run: RunConfig) -> int:
    """How many of this machine's GPUs a run trains on: its first ones."""
    here = device_of(run) == "cuda" and ray_address() is None
    return run.train.gpus_per_node if here else 0


def policy_here() -> None:
    """Bring the run's policy to this machine, to the folder that verl was told.

    Raises BadInput where the cache of Hugging Face lies elsewhere than on the trainer's machine.
    """
    told = os.environ.get(POLICY)
    if told is None or Path(told).is_dir():
        return
    folder = local_folder(run_here().model)
    if str(folder) != told:
        raise BadInput(
            f"the policy is in {told} on the trainer's machine and in {folder} on "
            f"{platform.node()}; give both the same HF_HOME"
        )


def reward_here() -> ServiceSpec:
    """What the rewards of this process' run measure."""
    return ServiceSpec.model_validate_json(os.environ[REWARD])


def of_rollouts(spec: ServiceSpec) -> dict[str, str]:
    """Variables of a run whose reward service has been found."""
    return {REWARD: spec.model_dump_json()}


def of_every_process(run: RunConfig, device: str) -> dict[str, str]:
    """Variables that verl's processes need on every machine."""
    return _without_policy(run, device) | {POLICY: str(local_folder(run.model))}


def of_imports(run: RunConfig, device: str) -> dict[str, str]:
    """Those of the driver that its imports need: the policy may not be on this machine yet."""
    return _without_policy(run, device) | _of_driver_alone(run, device)


def of_driver(run: RunConfig, device: str) -> dict[str, str]:
    """Variables of verl's main program, and so of a Ray that it starts on this machine."""
    return of_every_process(run, device) | _of_driver_alone(run, device)


def _without_policy(run: RunConfig, device: str) -> dict[str, str]:
    variables = {
        RUN: json.dumps(json.loads(dump_run(run))),
        "VERL_USE_EXTERNAL_MODULES": "ttsrl.training.plugin",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if device == "cpu":
        # stock FSDP engine on the CPU; and threads that sleep while they wait, because several
        # processes share the cores
        variables |= {
            "VERL_PLATFORM": "cpu",
            "VERL_ENGINE_DEVICE": "cuda",
            "OMP_WAIT_POLICY": "passive",
            "GOMP_SPINCOUNT": "0",
        }
    else:
        variables["VERL_PLATFORM"] = "nvidia"  # also where the trainer's own machine has no GPU
        # vLLM's own sampler: flashinfer's is compiled where it runs, and needs nvcc there
        flashinfer = "VLLM_USE_FLASHINFER_SAMPLER"
        variables[flashinfer] = os.environ.get(flashinfer, "0")
        # verl switches vLLM's cache of compiled layers off, because engines that started at once
        # have read what another was still writing: since 2.10 torch writes each file elsewhere and
        # renames it
        cache = "VLLM_DISABLE_COMPILE_CACHE"
        variables[cache] = os.environ.get(cache, "0")
    return variables


def _of_driver_alone(run: RunConfig, device: str) -> dict[str, str]:
    variables = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        # what a RayJob's runtimeEnvYAML sets stays, and ours wins
        "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",
        # every process of a run has an environment of its own, and Ray starts two without first
        "RAY_prestart_worker_first_driver": "0",
    }
    if device == "cpu" and ray_address() is None:
        slots = run.train.gpus_per_node * run.train.nodes
        variables |= {
            # Ray counts its slots called GPU by this one where it is set, as in shells that hide
            # a GPU with an empty value
            "CUDA_VISIBLE_DEVICES": ",".join(str(n) for n in range(slots)),
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(os.cpu_count() or 1)),
            # its default is 8, and a warning a call on a machine with fewer cores
            "TQ_NUM_THREADS": str(min(8, psutil.cpu_count(logical=False) or 1)),
            # Ray lets its workers run at 15, behind every other program of the machine
            "RAY_worker_niceness": os.environ.get("RAY_worker_niceness", "0"),  # noqa: SIM112
        }
    return variables


@cache
def _parsed(run: str) -> RunConfig:
    """verl asks several times per step, and a large configuration takes milliseconds to check."""
    return RunConfig.model_validate_json(run)
