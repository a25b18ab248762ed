"""verl's own actor without Ray, generation and rewards: this process is one of its ranks."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ttsrl.config.load import dump_run
from ttsrl.config.schema import RunConfig
from ttsrl.training.environment import RUN
from ttsrl.training.verl_args import RayHere, verl_keys

Batch = Any
"""A TensorDict in verl's form."""

PADDED = {
    "actor_rollout_ref.model.use_remove_padding": False,
    "+actor_rollout_ref.model.override_config.attn_implementation": "sdpa",
    "actor_rollout_ref.actor.use_dynamic_bsz": False,
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu": 4,
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu": 4,
}
"""verl's keys for rollouts padded to the longest of four."""


def enter_ranks(device: str) -> tuple[int, int]:
    """This process' rank and their number, as torchrun says or alone; before verl is imported."""
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    for name, value in (alone | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}).items():
        os.environ.setdefault(name, value)
    os.environ["VERL_USE_EXTERNAL_MODULES"] = "ttsrl.training.plugin"
    if device == "cpu":
        os.environ |= {"VERL_PLATFORM": "cpu", "VERL_ENGINE_DEVICE": "cuda"}
    else:
        os.environ["VERL_PLATFORM"] = "nvidia"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    return int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])


@contextmanager
def actor_of(run: RunConfig, device: str, more: dict[str, Any]) -> Generator[Any]:
    """verl's worker with the run's keys and these; its policy needs no tokenizer."""
    from verl.workers.engine_workers import ActorRolloutRefWorker

    from ttsrl.training.verl_config import configuration

    model = "actor_rollout_ref.model"
    os.environ[RUN] = dump_run(run)  # as verl's processes find it
    without = {f"+{model}.load_tokenizer": False, f"{model}.custom_chat_template": None}
    keys = verl_keys(run, Path(), device, RayHere("")) | without | more
    worker: Any = ActorRolloutRefWorker(configuration(keys).actor_rollout_ref, role="actor")
    worker.init_model()
    try:
        yield worker
    finally:
        worker.actor.engine = None
        del worker
        gc.collect()
        if device == "cuda":
            torch.cuda.empty_cache()


def share_of(lengths: list[int], rank: int, ranks: int) -> list[int]:
    """Which rollouts of these lengths a rank gets, as verl's trainer spreads them."""
    from verl.utils.seqlen_balancing import calculate_workload, get_seqlen_balanced_partitions

    workload = calculate_workload(torch.tensor(lengths))
    parts: Any = get_seqlen_balanced_partitions(workload.tolist(), ranks, equal_size=True)
    return parts[rank]


def batch_of(
    prompts: list[torch.Tensor],
    responses: list[torch.Tensor],
    advantages: list[float],
    *,
    of_all: int,
    temperature: float,
) -> Batch:
    """A rank's rollouts, of so many in the whole update, to compute log-probabilities of."""
    from verl.utils import tensordict_utils as tu

    whole = [torch.cat(pair) for pair in zip(prompts, responses, strict=True)]
    masks = [torch.ones_like(response) for response in responses]
    tensors = {
        "prompts": prompts,
        "responses": responses,
        "input_ids": whole,
        "position_ids": [torch.arange(len(row)) for row in whole],
        "response_mask": masks,
        "loss_mask": masks,
        "advantages": [mask * a for mask, a in zip(masks, advantages, strict=True)],
    }
    return tu.get_tensordict(
        {name: nested(rows) for name, rows in tensors.items()},
        {
            "temperature": temperature,
            "calculate_entropy": True,
            "compute_loss": False,
            "global_batch_size": of_all,
            "mini_batch_size": of_all,
            "epochs": 1,
            "seed": 1,
            "dataloader_kwargs": {"shuffle": False},
        },
    )


def nested(rows: list[torch.Tensor]) -> torch.Tensor:
    """Rows of unequal lengths as verl has them."""
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def to_update(batch: Batch, log_probs: torch.Tensor) -> Batch:
    """The same rollouts with these log-probabilities, of every token, as the old ones."""
    from verl.utils import tensordict_utils as tu

    batch = batch.copy()
    rows, at = [], 0
    for whole, response in zip(
        batch["input_ids"].offsets().diff().tolist(),
        batch["responses"].offsets().diff().tolist(),
        strict=True,
    ):
        rows.append(log_probs[at + whole - response - 1 : at + whole - 1].clone())
        at += whole
    batch["old_log_probs"] = nested(rows)
    tu.assign_non_tensor(batch, calculate_entropy=False, compute_loss=True)
    return batch


def trained_tensors(worker: Any) -> Generator[Any]:
    """Every parameter that is trained, and both of its moments: DTensors where ranks share them."""
    engine = worker.actor.engine
    for parameter in filter(lambda p: p.requires_grad, engine.module.parameters()):
        moments = engine.optimizer.state[parameter]
        yield from (parameter, moments["exp_avg"], moments["exp_avg_sq"])


def gradients_of(worker: Any, batch: Batch) -> list[torch.Tensor]:
    """Of every parameter, whole; the weights stay as they are."""
    engine = worker.actor.engine
    found = list[torch.Tensor]()

    def keep() -> float:
        for parameter in engine.module.parameters():
            gradient = parameter.grad
            whole = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
            found.append(whole.detach().to("cpu", copy=True))
        return 0.0

    engine.optimizer_step, step = keep, engine.optimizer_step
    worker.update_actor(batch)
    engine.optimizer_step = step
    return found


def distance(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """Norm of the difference of two gradients, relative to the second's."""
    between = sum(float((a - b).square().sum()) for a, b in zip(one, other, strict=True))
    return (between / sum(float(b.square().sum()) for b in other)) ** 0.5
