"""verl's trainer with rollouts on GPUs of their own, as ttsrl trains with it.

Prompts are asked for `train.asynchronous.staleness` steps ahead. verl's replay buffer hands out the
oldest rollouts first, and waits for those that the next step would be too new for, so that none is
trained by a policy that is more than so many updates ahead of the one that sampled it; no other
rollout is waited for.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import ray
import torch
import transfer_queue as tq
from verl.trainer.ppo.v1.trainer_base import PPOTrainer, register_trainer
from verl.trainer.ppo.v1.trainer_separate_async import PPOTrainerSeparateAsync
from verl.utils import tensordict_utils as tu

from ttsrl.training.environment import run_here
from ttsrl.training.trainer import SpeechTraining

# verl 0.9.1 gives one of its own messages an argument that logging does not have
logging.getLogger(PPOTrainerSeparateAsync.__module__).setLevel(logging.WARNING)

AHEAD = "prompts_ahead.pt"
"""In a checkpoint: the prompts that were asked for and are in none of its steps."""


@register_trainer("ttsrl_apart")
class SpeechTrainerApart(SpeechTraining, PPOTrainerSeparateAsync):
    """Each step trains on rollouts that were generated beside the steps before it."""

    standalone_server_manager: Any
    saving = False

    @property
    def verl_mode(self) -> str:
        return "sync" if self.saving else "separate_async"

    def workers_on_gpus(self) -> list[Any]:
        """Those that train, then those beside the rollout engines."""
        replicas = self.standalone_server_manager.get_replicas()
        return super().workers_on_gpus() + [w for one in replicas for w in one.workers]

    def save_prompts_ahead(self) -> None:
        file = self._prompts_ahead_of(self.global_steps)
        file.parent.mkdir(parents=True, exist_ok=True)
        if keys := prompts_ahead():
            torch.save(tq.kv_batch_get(keys=keys, partition_id="train"), file)

    def _save_checkpoint(self) -> None:
        """verl would save all of TransferQueue, which needs a disk that the machines share, and as
        many machines when it is loaded."""
        with self._as_if_synchronous():
            super()._save_checkpoint()  # pyright: ignore[reportPrivateUsage]

    def _prompts_ahead_of(self, step: int) -> Path:
        return Path(self.config.trainer.default_local_dir) / f"global_step_{step}" / AHEAD

    @contextmanager
    def _as_if_synchronous(self) -> Generator[None]:
        self.saving = True
        try:
            yield
        finally:
            self.saving = False

    def _reissue_inflight_prompts(self, partition_id: str = "train") -> int:
        """Generate anew what the checkpoint was ahead, with the policy as it is now."""
        file = self._prompts_ahead_of(self.global_steps - 1)
        if not file.exists():
            return 0
        batch = torch.load(file, weights_only=False)
        tu.assign_non_tensor_data(batch, "global_steps", self.global_steps)
        return PPOTrainer._submit_batch_to_rollout(self, batch)

    def on_train_begin(self) -> None:
        """Until now the rollout engines have waited for the start, not for the trainer."""
        super().on_train_begin()
        self.rollouts_waited_s()

    def prepare_step(self) -> dict[str, Any]:
        """Ask for as many prompts as lets the engines work so far ahead, and for none that no step
        of the run would train."""
        self.prompts_asked = 0
        asynchronous = run_here().train.asynchronous
        assert asynchronous
        steps = min(asynchronous.staleness + 1, self.total_training_steps - self.global_steps + 1)
        missing = steps * self.config.data.train_batch_size - len(prompts_ahead())
        if missing > 0:
            PPOTrainer._submit_batch_to_rollout(self, self._next_train_batch(missing))
        return {}

    def _compute_old_log_prob(self, batch: Any, metrics: dict[str, Any]) -> Any:
        """verl keeps the weights of the step's begin for its later updates: nothing to keep where
        there is one."""
        trainer = PPOTrainer if self.parameter_sync_step == 1 else PPOTrainerSeparateAsync
        return trainer._compute_old_log_prob(self, batch, metrics)

    def rollouts_waited_s(self) -> float:
        """Mean over the machines that generate, since the last call."""
        workers = self.agent_loop_manager.agent_loop_workers
        return fmean(ray.get([worker.take_idle_s.remote() for worker in workers]))


def prompts_ahead() -> list[str]:
    """Keys of the prompts in TransferQueue whose rollouts no step has taken."""
    tags = tq.kv_list("train") or {}
    return [key for key, tag in tags.get("train", {}).items() if tag.get("is_prompt", False)]
