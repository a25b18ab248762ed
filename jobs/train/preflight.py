"""What must hold before a training run starts: found out in seconds, not after the kill."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psutil

from jobs.train.environment import ray_address
from ttsrl.client import RewardClient
from ttsrl.config import RunConfig
from ttsrl.errors import BadInput
from ttsrl.hub import check_models
from ttsrl.prompts import prepare

BASE_BYTES = 7 * 2**30
"""Ray's and verl's processes with next to no model: measured 6.6 GiB (sum of PSS), the tiny run."""
BYTES_PER_PARAMETER = 24
"""float32 weights, gradients and two Adam moments, the sampler's copy, and one copy on its way."""
REWARD_SERVICE_TIMEOUT_S = 300.0


def prepare_prompts(run: RunConfig, work_dir: Path) -> None:
    """Write the prompt parquet where it is not there yet."""
    if all((work_dir / "data" / f"{name}.parquet").is_file() for name in ("train", "held_out")):
        return
    print(prepare(run, work_dir / "data"), flush=True)


def check_policy(run: RunConfig, codebook_size: int) -> None:
    """The policy must be one of the family, and its speech tokens those of the codec."""
    folder = Path(run.model)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BadInput(f"no model at {folder}: config.json is missing; give a Hugging Face folder")
    from transformers import AutoTokenizer

    from ttsrl.families import load_family

    try:
        load_family(run.family, AutoTokenizer.from_pretrained(run.model), codebook_size)
    except (OSError, ValueError) as error:
        raise BadInput(f"policy {run.model}: {error}") from None


def check_memory(run: RunConfig) -> None:
    """On a CPU the whole run lives in RAM: refuse what the kernel would kill later."""
    files = list(Path(run.model).glob("*.safetensors"))
    parameters = sum(_parameters(file) for file in files)
    need = BASE_BYTES + BYTES_PER_PARAMETER * parameters
    free = psutil.virtual_memory().available
    if need > free:
        raise BadInput(
            f"training {run.model} ({parameters / 1e6:.0f} M parameters) on this CPU needs about "
            f"{need / 2**30:.1f} GiB of memory and {free / 2**30:.1f} GiB are free; close other "
            "programs, take a smaller model, or train on a GPU"
        )


async def check_reward_service(run: RunConfig) -> int:
    """Wait until the service answers and is warm; returns its codec's codebook size."""
    async with RewardClient.of(run.reward) as client:
        spec = await client.wait_ready(timeout_s=REWARD_SERVICE_TIMEOUT_S)
    return spec.codebook_size


def check(run: RunConfig, work_dir: Path, device: str) -> None:
    """All checks, cheapest first, and the prompts. Raises BadInput."""
    check_models({"model": run.model})
    if device == "cpu" and ray_address() is None:
        check_memory(run)
    prepare_prompts(run, work_dir)
    print(f"waiting for the reward service at {run.reward.url}", flush=True)
    check_policy(run, asyncio.run(check_reward_service(run)))


def _parameters(safetensors_file: Path) -> int:
    """Number of parameters in one safetensors file, from its header alone."""
    with safetensors_file.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    count = 0
    for name, tensor in header.items():
        if name != "__metadata__":
            size = 1
            for dimension in tensor["shape"]:
                size *= dimension
            count += size
    return count
