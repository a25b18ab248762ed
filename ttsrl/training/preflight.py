"""Checks before a training run starts, so that it fails in seconds and not after an hour.

They read the run, the prepared prompts and the reward service, and write nothing.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from pyarrow import parquet

from ttsrl.client.reward_client import RewardClient
from ttsrl.config.models import check_models
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.runtime.machine import GIB, free_memory_bytes, gpus
from ttsrl.training.environment import ray_address
from ttsrl.training.gpu_memory import Shape, check_gpus, need_of
from ttsrl.training.verl_config import check_verl_keys
from ttsrl.wire import ServiceSpec

BASE_BYTES = 7 * 2**30
"""Ray's and verl's processes with next to no model: measured 6.6 GiB (sum of PSS), the tiny run."""
BYTES_PER_PARAMETER = 24
"""float32 weights, gradients and two Adam moments, the sampler's copy, and one copy on its way."""
REWARD_SERVICE_TIMEOUT_S = 300.0


def check_policy(run: RunConfig, codebook_size: int) -> Family:
    """The policy must be whole and of the family, and its speech tokens those of the codec."""
    folder = Path(run.model)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BadInput(f"no model at {folder}: config.json is missing; give a Hugging Face folder")
    from transformers import AutoTokenizer

    from ttsrl.families.registry import load_family
    from ttsrl.models.policy import check_policy_weights

    try:
        family = load_family(run.family, AutoTokenizer.from_pretrained(run.model), codebook_size)
    except (OSError, ValueError) as error:
        raise BadInput(f"policy {run.model}: {error}") from None
    if folder.is_dir():
        for note in check_policy_weights(folder):
            print(note, flush=True)
    return family


def check_prompts(run: RunConfig, work_dir: Path, family: Family) -> None:
    """Every training prompt, its speech prefix included, must fit and be of the codebook."""
    longest, codes = run.rollout.max_prompt_tokens, len(family.speech_token_ids)
    frame = len(family.prompt_ids("a"))
    rows = parquet.read_table(work_dir / "data" / "train.parquet", columns=["extra_info"])
    for info in rows["extra_info"].to_pylist():
        text, prefix = info["text"], info["speech_prefix"]
        if prefix and max(prefix) >= codes:
            raise BadInput(
                f"the recording of text {text!r} has the speech token {max(prefix)}, outside the "
                f"codebook [0, {codes}); encode it with the run's codec"
            )
        # a token is a byte or more, and few texts are near the limit
        if frame + len(text.encode()) + len(prefix) <= longest:
            continue
        if (length := len(family.prompt_ids(text, prefix))) > longest:
            raise BadInput(
                f"the prompt of text {text!r} has {length} tokens, {len(prefix)} of them speech, "
                f"and rollout.max_prompt_tokens = {longest}; raise it, or prepare shorter ones "
                "(data.max_chars, data.prefix.max_s)"
            )


def check_memory(run: RunConfig) -> None:
    """On a CPU the whole run lives in RAM: refuse what the kernel would kill later.

    Memory is what this machine has free, or this container.
    """
    files = list(Path(run.model).glob("*.safetensors"))
    parameters = sum(_parameters(file) for file in files)
    need = BASE_BYTES + BYTES_PER_PARAMETER * parameters
    free = free_memory_bytes()
    if need > free:
        raise BadInput(
            f"training {run.model} ({parameters / 1e6:.0f} M parameters) on this CPU needs about "
            f"{need / GIB:.1f} GiB of memory and {free / GIB:.1f} GiB are free; close other "
            "programs, raise the container's limit, take a smaller model, or train on a GPU"
        )


def check_shape(run: RunConfig, device: str) -> None:
    """The policy must be long enough for the rollouts, and its training fit the GPUs.

    Where this machine has no GPU, as a cluster's head, the estimate is only told.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(run.model)
    length = run.rollout.max_prompt_tokens + run.rollout.max_speech_tokens
    if length > config.max_position_embeddings:
        raise BadInput(
            f"rollout.max_prompt_tokens + max_speech_tokens = {length} tokens, and {run.model} has "
            f"{config.max_position_embeddings} positions; lower one of them"
        )
    if device == "cpu":
        return
    shape = Shape.of(config)
    need = need_of(run, shape)
    print(
        f"estimated for each GPU: {need.update / GIB:.0f} GiB to update, and beside vLLM "
        f"{need.generation(0) / GIB:.0f} GiB to generate",
        flush=True,
    )
    if ray_address() is None:
        check_gpus(run, shape, gpus())


async def check_reward_service(run: RunConfig) -> ServiceSpec:
    """Wait until the service answers and is warm; returns what it measures, which is this run's."""
    async with RewardClient.of(run.reward) as client:
        return await client.wait_ready(timeout_s=REWARD_SERVICE_TIMEOUT_S)


def check_run(run: RunConfig, device: str) -> None:
    """The checks that need nothing but the run and this machine. Raises BadInput."""
    check_verl_keys(run, device)
    check_models({"model": run.model})
    if device == "cpu" and ray_address() is None:
        check_memory(run)


def check_start(run: RunConfig, work_dir: Path, device: str) -> ServiceSpec:
    """The checks that need the prepared prompts and the reward service, cheapest first.

    Returns what the service measures. Raises BadInput.
    """
    print(f"waiting for the reward service at {run.reward.url}", flush=True)
    spec = asyncio.run(check_reward_service(run))
    family = check_policy(run, spec.codebook_size)
    check_prompts(run, work_dir, family)
    check_shape(run, device)
    return spec


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
