"""verl's trainers, telling what happened: one line per step, samples, and a time-line.

Beside that it hands the utilities of each component to our estimators, keeps rollouts that were not
measured out of the loss, and bounds what dynamic sampling may generate; verl's does none of it.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import ray
import torch
import transfer_queue as tq
from tensordict import TensorDict
from verl.trainer.ppo.v1.trainer_base import PPOTrainer, register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from ttsrl.errors import Failure
from ttsrl.records.checkpoint import CheckpointRestored
from ttsrl.records.preference import PAIRS
from ttsrl.records.record import append_lines
from ttsrl.records.rollout import Rollout
from ttsrl.storage.run_store import RunStore
from ttsrl.training import advantage
from ttsrl.training.checkpoints import restore
from ttsrl.training.environment import run_here
from ttsrl.training.gpu_idle import GpusOfRun
from ttsrl.training.guarding import STOP_FILE
from ttsrl.training.learning_rate import set_rate
from ttsrl.training.machines import machines_of
from ttsrl.training.pairs import Spoken, pairs_of
from ttsrl.training.publish import PublishCheckpoint
from ttsrl.training.step_log import SAVE_WAITED, StepLog, drop_steps_after, on_our_clock
from ttsrl.training.verl_args import NO_REWARD
from ttsrl.training.verl_fields import rollout_of, utilities_of
from ttsrl.wire import Failed

POLL_S = 0.02
GENERATION_BATCH = 3
"""Prompts of a generation batch, in those of a step. DAPO's authors generate 1 536 prompts to train
on 512 (arXiv 2503.14476, their script in verl-recipe), mair-hub's run_dapo.sh 96 for 32."""


class SpeechTraining(PPOTrainer):
    """A trainer of verl's with ttsrl's step log, estimators and bound on generation."""

    @property
    @abstractmethod
    def verl_mode(self) -> str:
        """verl's name of the mode."""

    @property
    def trainer_mode(self) -> str:
        """verl asks for the mode by name, and knows the names of its own."""
        return self.verl_mode

    @trainer_mode.setter
    def trainer_mode(self, _: str) -> None:
        pass

    def _build_replay_buffer(self) -> Any:
        buffer = super()._build_replay_buffer()
        buffer.poll_interval = POLL_S  # verl waits 2 s between looks, longer than a small step
        return buffer

    def _load_checkpoint(self) -> None:
        """Bring the newest checkpoint to the machines that the ranks are on, then load it."""
        run = run_here()
        checkpoints = Path(self.config.trainer.default_local_dir)
        self.machines = machines_of(
            self.actor_rollout_wg.workers, run.storage, run.name, checkpoints
        )
        self.publisher = cast(PublishCheckpoint, self.checkpoint_callback)
        store = RunStore(run.storage, run.name)
        step = restore(store, self.machines, checkpoints, self.publisher.publish_base)
        if step:
            self.publisher.publish_base()  # adapters are not loaded beside another model
        append_lines(
            checkpoints.parent / "checkpoints.jsonl",
            [CheckpointRestored(step=step, at_s=time.time())],
        )
        super()._load_checkpoint()
        # the checkpoint brings back the rate that it was saved with
        rate = float(self.config.actor_rollout_ref.actor.optim.lr)
        ray.get([w.__ray_call__.remote(set_rate, rate) for w in self.actor_rollout_wg.workers])

    def fit(self, agent_loop_manager: Any) -> None:
        """Train to the last step, and until its checkpoint is written and published."""
        train_dir = Path(self.config.trainer.default_local_dir).parent
        on_gpus = self.config.trainer.device != "cpu"
        self.gpu_watch = GpusOfRun(self.workers_on_gpus() if on_gpus else [])
        self.step_log = StepLog(train_dir, resumed_at=self.global_steps)
        drop_steps_after(train_dir / PAIRS, self.global_steps)
        super().fit(agent_loop_manager)
        self.publisher.wait()

    def workers_on_gpus(self) -> list[Any]:
        """verl's workers, one on each of the run's GPUs."""
        return [*self.actor_rollout_wg.workers]

    def on_step_begin(self) -> None:
        """Remember when the step began: rollouts carry absolute times."""
        super().on_step_begin()
        self.step_start_s = time.time()
        self.gpu_watch.take()

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> Any:
        """One step; the last one where a guard has asked to stop: verl then saves and leaves."""
        batch = super().step(metrics, timing_raw)
        train_dir = Path(self.config.trainer.default_local_dir).parent
        if (train_dir / STOP_FILE).exists():
            self.config.trainer.save_freq = 1
            self.total_training_steps = self.global_steps
        return batch

    def _save_checkpoint(self) -> None:
        """Save one, once the one before is written and published: at most one is under way."""
        start_s = time.monotonic()
        self.publisher.wait()
        self.timing_raw[SAVE_WAITED] = time.monotonic() - start_s
        self.save_prompts_ahead()
        super()._save_checkpoint()

    def save_prompts_ahead(self) -> None:
        """Into the checkpoint that is about to be saved; none where a step asks for its own."""

    def prepare_step(self) -> dict[str, Any]:
        """Ask for the first prompts of a step."""
        self.prompts_asked = 0
        return super().prepare_step()

    def _submit_batch_to_rollout(self, batch: Any) -> int:
        """Ask for prompts: a step's first ones, or others in place of groups that teach nothing."""
        self.prompts_asked += len(batch)
        train = run_here().train
        size = GENERATION_BATCH * train.prompts_per_step
        if self.prompts_asked > train.max_generation_batches * size:
            raise Failure(
                f"step {self.global_steps} would need more than {train.max_generation_batches} x "
                f"{size} prompts to find {train.prompts_per_step} whose rollouts "
                "differ in reward: look at gated_reasons and failed_kinds of the last steps, then "
                "raise train.max_generation_batches or rollout.temperature, or set "
                "train.dynamic_sampling=false"
            )
        return super()._submit_batch_to_rollout(batch)

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        weights = run_here().reward.weights
        unmeasured = [NO_REWARD] * len(weights)
        utilities_BK = [
            unmeasured if rollout is None else utilities_of(rollout.outcome, list(weights))
            for rollout in _rollouts(batch)
        ]
        with advantage.components(utilities_BK, list(weights.values())):
            return super()._compute_advantage(batch, metrics)

    def _update_actor(self, batch: Any, metrics: dict[str, Any]) -> Any:
        """Update from the measured rollouts; a step without one moves no weight."""
        failed = [
            rollout is not None and isinstance(rollout.outcome, Failed)
            for rollout in _rollouts(batch)
        ]
        if all(failed):
            return batch
        if any(failed):
            leave_out_of_the_loss(batch, failed)
        return super()._update_actor(batch, metrics)

    def on_sample_end(self) -> None:
        """All rollouts of the step are here."""
        self.gathered_s = time.time()
        super().on_sample_end()

    def _compute_metrics(
        self, batch: Any, metrics: Any, timing_raw: Any, global_steps: int, epoch: int
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        rollouts = [rollout for rollout in _rollouts(batch) if rollout is not None]
        waited_s = self.rollouts_waited_s()
        since_s = self.step_start_s if waited_s is None else None
        rollouts = on_our_clock(rollouts, since_s, self.gathered_s)
        self.step_log.write(
            global_steps,
            rollouts,
            metrics,
            timing_raw,
            self.step_start_s,
            time.time(),
            self.gpu_watch.take(),
            waited_s,
        )
        if run_here().train.keep_pairs:
            train_dir = Path(self.config.trainer.default_local_dir).parent
            append_lines(train_dir / PAIRS, pairs_of(global_steps, _spoken(batch)))
        self.publisher.on_logged(self.step_log.paths.values())

    def rollouts_waited_s(self) -> float | None:
        """Seconds of the step in which nothing was generated, where that goes on beside training;
        None where the two take turns."""
        return None


@register_trainer("ttsrl")
class SpeechTrainer(SpeechTraining, PPOTrainerSync):
    """Each step generates its rollouts, then trains on them."""

    @property
    def verl_mode(self) -> str:
        return "sync"


def leave_out_of_the_loss(batch: Any, rows: Sequence[bool]) -> None:
    """Set the loss masks of these rows of a batch in TransferQueue to 0.

    An advantage of 0 is not enough: the tokens of such a row would still count in the divisor of a
    mean over tokens, and would have gradients from the KL and entropy terms.
    """
    data = tq.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=["response_mask"]
    )
    masks = [
        torch.zeros_like(mask) if out else mask
        for mask, out in zip(data["response_mask"].unbind(0), rows, strict=True)
    ]
    mask = torch.nested.as_nested_tensor(masks, layout=torch.jagged)
    tq.kv_batch_put(
        keys=batch.keys,
        partition_id=batch.partition_id,
        fields=TensorDict({"response_mask": mask, "loss_mask": mask}, batch_size=len(rows)),
    )


def _rollouts(batch: Any) -> list[Rollout | None]:
    """The rollout of each row; None for a row that verl filled up with."""
    data = tq.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"]
    )
    return [
        None if tag.get("is_padding", False) else rollout_of(extra)
        for extra, tag in zip(data["extra_fields"], batch.tags, strict=True)
    ]


def _spoken(batch: Any) -> list[Spoken]:
    """The rollouts of a batch with the token ids of their prompts and responses."""
    ids = tq.kv_batch_get(
        keys=batch.keys, partition_id=batch.partition_id, select_fields=["prompts", "responses"]
    )
    rows = zip(_rollouts(batch), ids["prompts"].unbind(0), ids["responses"].unbind(0), strict=True)
    return [(r, p.tolist(), a.tolist()) for r, p, a in rows if r is not None]
