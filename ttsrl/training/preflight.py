"""Checks before a training run starts, so that it fails in seconds and not after an hour.

They read the run, the prepared prompts and the reward service, and write nothing.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from ttsrl.client.reward_client import RewardClient
from ttsrl.codecs.of_family import check_frame
from ttsrl.config.load import load_run
from ttsrl.config.models import check_models
from ttsrl.config.schema import RunConfig
from ttsrl.data import told
from ttsrl.data.audit_clips import clips_of
from ttsrl.data.fit import check_fit
from ttsrl.data.sources import read_parquet
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.families.speech_ids import check_codebook
from ttsrl.guards.armed import armed
from ttsrl.models.hub import load_part, local_folder
from ttsrl.runtime.machine import GIB, free_memory_bytes, gpus
from ttsrl.tracking.registry import check_trackers
from ttsrl.training.environment import device_of, ray_address
from ttsrl.training.gpu_memory import Shape, check_gpus, need_of
from ttsrl.training.verl_config import check_verl_keys
from ttsrl.wire import ServiceSpec

BASE_BYTES = 7 * 2**30
"""Ray's and verl's processes with next to no model: measured 6.6 GiB (sum of PSS), the tiny run."""
BYTES_PER_PARAMETER = 24
"""float32 weights, gradients and two Adam moments, the sampler's copy, and one copy on its way."""
COPIED_BYTES_PER_PARAMETER = 12
"""A checkpoint that is written beside the steps is copied first: weights and both moments."""
REWARD_SERVICE_TIMEOUT_S = 300.0
ABSENT_S = 8.0
"""What an address gets at which nothing listens, from the start of the run: a service that was
started together with it listens within seconds, and loads after that."""


def check_policy(run: RunConfig) -> Family:
    """The policy must be of the family, and the codec, where it lies on this machine, too."""
    folder = local_folder(run.model)
    if not (folder / "config.json").is_file():
        raise BadInput(f"no model at {folder}: config.json is missing; give a Hugging Face folder")
    return check_fit(run, folder)


def check_weights(run: RunConfig) -> None:
    """The policy must be whole; says what is to be known of it."""
    from ttsrl.models.policy import check_policy_weights

    for note in check_policy_weights(local_folder(run.model)):
        print(note, flush=True)


def check_prompts(run: RunConfig, work_dir: Path, family: Family) -> None:
    """`ttsrl.data.told.check_prompts` of what was prepared, perhaps without the tokenizer."""
    train, held_out = (
        [row["extra_info"] for _, row in read_parquet(work_dir / "data" / f"{split}.parquet")]
        for split in ("train", "held_out")
    )
    told.check_prompts(run, train, held_out, family)


def check_memory(run: RunConfig) -> None:
    """On a CPU the whole run lives in RAM: refuse what the kernel would kill later.

    Memory is what this machine has free, or this container.
    """
    from ttsrl.models.policy import parameters_of

    parameters = parameters_of(local_folder(run.model))
    copied = run.train.save_beside and run.train.lora is None
    per_parameter = BYTES_PER_PARAMETER + copied * COPIED_BYTES_PER_PARAMETER
    need = BASE_BYTES + per_parameter * parameters
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

    config = load_part(AutoConfig, local_folder(run.model))
    length = run.rollout.longest
    if length > config.max_position_embeddings:
        raise BadInput(
            f"rollout.max_prompt_tokens + max_speech_tokens = {length} tokens, and {run.model} has "
            f"{config.max_position_embeddings} positions; lower one of them"
        )
    if device == "cpu":
        return
    shape = Shape.of(config)
    checkpointing = bool(run.train.gradient_checkpointing)
    if ray_address() is None:
        checkpointing = check_gpus(run, shape, gpus())
    need = need_of(run, shape, checkpointing=checkpointing)
    print(
        f"estimated for each GPU: {need.update / GIB:.0f} GiB to update, and beside vLLM "
        f"{need.generation(0) / GIB:.0f} GiB to generate"
        f"{'; activations are computed twice' if checkpointing else ''}",
        flush=True,
    )


def check_configuration(run: RunConfig, device: str) -> None:
    """The checks that need nothing but the run. Raises BadInput."""
    if run.dpo is not None:
        raise BadInput(
            "the run learns from pairs (dpo), which `ttsrl train` does on one machine; for a "
            "cluster or a quickstart leave `dpo` out"
        )
    check_verl_keys(run, device)
    armed(run, device)
    check_models({"model": run.model})
    if run.guards.audit != "off":
        clips_of(run)
    check_trackers(run.trackers, in_cluster=_in_cluster())


def check_run(run: RunConfig, device: str) -> Family:
    """The checks that need nothing but the run, its policy and this machine, cheapest first.

    Returns the policy's family. Raises BadInput.
    """
    check_configuration(run, device)
    family = check_policy(run)
    check_shape(run, device)
    if device == "cpu" and ray_address() is None:
        check_memory(run)
    check_weights(run)
    if run.train.asynchronous is not None and run.train.rollout_correction == "none":
        print("train.rollout_correction = none: old rollouts are trained uncorrected", flush=True)
    return family


def check_before_start(config: Path, work_dir: Path) -> None:
    """All that can be known of a prepared run before it measures anything, as a job."""
    run = load_run(config)
    check_prompts(run, work_dir, check_run(run, device_of(run)))


def _in_cluster() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ or ray_address() is not None


async def check_reward_service(run: RunConfig, since_s: float) -> ServiceSpec:
    """Wait until the service answers and is warm; returns what it measures, which is this run's.

    `since_s`: when the run was started, by `time.monotonic`; an address at which nothing listens
    then was waited for long enough after `ABSENT_S`, but in a cluster, where a service that is
    replaced has no pod for a while.
    """
    left_s = max(0.0, since_s + ABSENT_S - time.monotonic())
    async with RewardClient.of(run.reward, run=run.name) as client:
        return await client.wait_ready(
            timeout_s=REWARD_SERVICE_TIMEOUT_S, absent_s=None if _in_cluster() else left_s
        )


def check_service(run: RunConfig, family: Family, since_s: float) -> ServiceSpec:
    """The reward service must be ready, and speak the policy's speech tokens.

    Returns what it measures. Raises BadInput.
    """
    print(f"waiting for the reward service at {run.reward.url}", flush=True)
    spec = asyncio.run(check_reward_service(run, since_s))
    check_codebook(len(family.speech_token_ids), spec.codebook_size)
    check_frame(run.family, family, spec.codec, spec.frame_tokens)
    return spec
