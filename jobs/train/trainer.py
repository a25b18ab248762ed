"""verl's synchronous trainer, telling what happened: one line a step, samples, and a time-line."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, cast

import transfer_queue as tq
from verl.trainer.ppo.v1.trainer_base import register_trainer
from verl.trainer.ppo.v1.trainer_sync import PPOTrainerSync

from jobs.train.checkpoints import restore
from jobs.train.environment import run_here
from jobs.train.machines import machines_of
from jobs.train.publish import PublishCheckpoint
from jobs.train.step_log import StepLog, append_line, on_our_clock
from ttsrl.storage import RunStore

POLL_S = 0.02


@register_trainer("ttsrl")
class SpeechTrainer(PPOTrainerSync):
    """PPOTrainerSync with ttsrl's step log; it computes nothing else."""

    @property
    def trainer_mode(self) -> str:
        """verl asks for the mode by name, and this is the synchronous one."""
        return "sync"

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
        step = restore(RunStore(run.storage, run.name), self.machines, checkpoints)
        line = {"event": "resumed", "step": step, "at_s": time.time()}
        append_line(checkpoints.parent / "checkpoints.jsonl", line)
        super()._load_checkpoint()

    def fit(self, agent_loop_manager: Any) -> None:
        """Train to the last step, and to the end of the last upload."""
        train_dir = Path(self.config.trainer.default_local_dir).parent
        self.step_log = StepLog(train_dir, resumed_at=self.global_steps)
        self.publisher = cast(PublishCheckpoint, self.checkpoint_callback)
        super().fit(agent_loop_manager)
        self.publisher.wait()

    def on_step_begin(self) -> None:
        """Remember when the step began: rollouts carry absolute times."""
        self.step_start_s = time.time()

    def on_sample_end(self) -> None:
        """All rollouts of the step are here."""
        self.gathered_s = time.time()
        super().on_sample_end()

    def _compute_metrics(
        self, batch: Any, metrics: Any, timing_raw: Any, global_steps: int, epoch: int
    ) -> None:
        super()._compute_metrics(batch, metrics, timing_raw, global_steps, epoch)
        fields = tq.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"]
        )
        rows = [
            json.loads(_plain(extra)["ttsrl"])
            for extra, tag in zip(fields["extra_fields"], batch.tags, strict=True)
            if not tag.get("is_padding", False)
        ]
        rows = on_our_clock(rows, self.step_start_s, self.gathered_s)
        self.step_log.write(global_steps, rows, metrics, timing_raw, self.step_start_s, time.time())
        self.publisher.on_logged(self.step_log.paths.values())


def _plain(extra: Any) -> dict[str, Any]:
    """The dictionary inside tensordict's wrapper for non-tensors."""
    return getattr(extra, "data", extra)
