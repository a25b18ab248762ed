"""Rollouts and updates apart: verl's own replay buffer and configuration classes with what a run
says, our trainer's part, and the hand-over of weights. A dictionary stands for TransferQueue, whose
actors need a Ray cluster; tests/integration/test_train_asynchronous.py trains with all of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from verl.trainer.ppo.v1 import replay_buffer
from verl.trainer.ppo.v1.replay_buffer import ReplayBufferAsync
from verl.trainer.ppo.v1.trainer_base import PPOTrainer
from verl.trainer.ppo.v1.trainer_separate_async import PPOTrainerSeparateAsync
from verl.utils.config import omega_conf_to_dataclass

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.training import idle_time, trainer_apart
from ttsrl.training.idle_time import IdleTime
from ttsrl.training.trainer_apart import SpeechTrainerApart
from ttsrl.training.verl_args import RayHere, verl_keys
from ttsrl.training.verl_config import configuration

TINY_RUN = TINY / "run.json"
APART = ["train.asynchronous.staleness=2", "train.gpus_per_node=3"]


def config_of(*overrides: str, device: str = "cpu", run: Path = TINY_RUN) -> Any:
    keys = verl_keys(load_run(run, [*APART, *overrides]), Path("/x"), device, RayHere("/tmp/ray"))
    return configuration(keys)


@pytest.mark.parametrize(("device", "backend"), [("cpu", "ttsrl_gloo"), ("cuda", "nccl")])
def test_verls_trainer_takes_the_split_of_the_gpus_and_the_bound(device: str, backend: str) -> None:
    config = config_of(
        "train.asynchronous.rollout_gpus_per_node=2", "train.updates_per_step=3", device=device
    )
    rollout = config.actor_rollout_ref.rollout
    assert (config.trainer.n_gpus_per_node, rollout.n_gpus_per_node, rollout.nnodes) == (1, 2, 1)
    assert omega_conf_to_dataclass(rollout.checkpoint_engine).backend == backend
    assert config.algorithm.rollout_correction.rollout_is == "token"
    assert config.algorithm.rollout_correction.bypass_mode is False

    # verl's own checks of a split, of its batches and of its replay buffer
    config.trainer.checkpoint_callback_class = None
    trainer: Any = object.__new__(SpeechTrainerApart)
    PPOTrainerSeparateAsync.__init__(trainer, config)
    assert trainer.parameter_sync_step == 3
    # a schedule that counts updates: of two steps
    assert config.actor_rollout_ref.actor.optim.lr_warmup_steps == 2 * 3
    assert isinstance(trainer.replay_buffer, ReplayBufferAsync)
    assert trainer.hybrid_rollout_config.enable_switch is False


def test_a_run_may_leave_old_rollouts_uncorrected_only_by_saying_so() -> None:
    assert load_run(TINY_RUN, APART).train.rollout_correction == "token"
    assert load_run(TINY_RUN).train.rollout_correction == "none"
    none = load_run(TINY_RUN, [*APART, "train.rollout_correction=none"])
    assert none.train.rollout_correction == "none"
    assert (
        config_of("train.rollout_correction=none").algorithm.rollout_correction.bypass_mode is False
    )


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["train.asynchronous.staleness=1"], r"leaves no GPU to train on.* set gpus_per_node to 2"),
        ([*APART, "train.asynchronous.rollout_gpus_per_node=3"], "leaves no GPU to train on"),
        ([*APART, "train.asynchronous.staleness=0"], "greater than or equal to 1"),
        (
            [*APART, "train.gpus_per_node=6", "train.prompts_per_step=24", "rollout.group_size=2"],
            r"48 rollouts an update .* not divisible by 5 GPUs "
            r"\(\(train.gpus_per_node - asynchronous.rollout_gpus_per_node\) x train.nodes\)",
        ),
    ],
)
def test_an_impossible_split_is_refused(overrides: list[str], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        load_run(TINY_RUN, overrides)


def test_pairs_have_no_rollouts_to_generate_apart() -> None:
    with pytest.raises(BadInput, match=r"dpo has no rollouts .* leave train.asynchronous out"):
        one = "train.nodes=1"
        load_run(
            TINY_RUN,
            ["train.asynchronous.staleness=1", "train.gpus_per_node=2", one, 'dpo={"pairs": "x"}'],
        )


def test_a_frame_that_is_interrupted_is_refused() -> None:
    with pytest.raises(BadInput, match=r"family 'orpheus' with vLLM: .* 7 places of a frame"):
        config_of("family=orpheus", device="cuda")
    config_of("family=orpheus")  # the torch engine interrupts nothing


class QueueApart:
    """What the replay buffer and our trainer ask of TransferQueue; rollouts end when they are
    told to, and are of the newest policy at their begin."""

    def __init__(self) -> None:
        self.tags: dict[str, dict[str, Any]] = {}

    def ask(self, uid: str, step: int) -> None:
        self.tags[uid] = {"is_prompt": True, "status": "running", "global_steps": step}

    def finish(self, *uids: str) -> None:
        for uid in uids:
            version = self.tags[uid]["global_steps"] - 1
            self.tags[uid]["status"] = "finished"
            self.tags[f"{uid}_0_0"] = {"status": "success", "min_global_steps": version}

    def kv_list(self, partition: str | None = None) -> dict[str, Any]:
        return {"train": dict(self.tags)}

    def kv_clear(self, keys: list[str], **_: Any) -> None:
        for key in keys:
            self.tags.pop(key, None)


class TrainingApart:
    """Our trainer on that queue, with prompts p0, p1, ...; two a step, of 9 steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, staleness: int) -> None:
        self.queue = QueueApart()
        self.asked = 0
        overrides = [f"train.asynchronous.staleness={staleness}", "train.prompts_per_step=2"]
        config = config_of(*overrides)
        sampler = config.trainer.v1.sampler
        monkeypatch.setattr(replay_buffer, "tq", self.queue)
        monkeypatch.setattr(trainer_apart, "tq", self.queue)
        run = load_run(TINY_RUN, [*APART, *overrides])
        monkeypatch.setattr(trainer_apart, "run_here", lambda: run)
        monkeypatch.setattr(PPOTrainer, "_submit_batch_to_rollout", lambda _, batch: len(batch))
        self.buffer = ReplayBufferAsync(
            trainer_mode="separate_async",
            trainer_config=config.trainer.v1.separate_async,
            max_off_policy_threshold=sampler.max_off_policy_threshold,
            max_off_policy_strategy=sampler.max_off_policy_strategy,
            sampler_kwargs=sampler.sampler_kwargs,
        )
        self.trainer: Any = object.__new__(SpeechTrainerApart)  # verl's are not made for it
        self.trainer.config = SimpleNamespace(data=SimpleNamespace(train_batch_size=2))
        self.trainer.total_training_steps, self.trainer.global_steps = 9, 1
        self.trainer._next_train_batch = self._next

    def _next(self, count: int) -> list[str]:
        uids = [f"p{n}" for n in range(self.asked, self.asked + count)]
        self.asked += count
        for uid in uids:
            self.queue.ask(uid, self.trainer.global_steps)
        return uids

    @property
    def blocked(self) -> bool:
        """Whether a step would wait now."""
        step, buffer = self.trainer.global_steps, self.buffer
        count = buffer.get_sampleable_count(step, "train")
        enough: Any = buffer._has_enough_samples
        return not enough(step, "train", 2, set(range(count)))

    def train(self) -> list[int]:
        """One step: how many updates old each rollout of it is."""
        batch, _ = self.buffer.sample(self.trainer.global_steps, "train", 2)
        ages = [self.trainer.global_steps - 1 - tag["min_global_steps"] for tag in batch.tags]
        self.queue.kv_clear(batch.keys)
        self.trainer.global_steps += 1
        return ages


@pytest.mark.parametrize("staleness", [1, 2, 3])
def test_a_slow_rollout_is_waited_for_only_when_it_would_be_too_old(
    monkeypatch: pytest.MonkeyPatch, staleness: int
) -> None:
    training = TrainingApart(monkeypatch, staleness)
    training.trainer.prepare_step()
    assert training.asked == 2 * (staleness + 1)  # as far ahead as the bound
    slow, oldest = "p0", 0
    for step in range(1, 8):
        if step > 1:
            training.trainer.prepare_step()
        running = [
            uid
            for uid, tag in training.queue.tags.items()
            if tag["status"] == "running" and uid != slow
        ]
        training.queue.finish(*running)
        if step == staleness + 1:
            assert training.blocked, "the slow one would be older than the bound in the next step"
            training.queue.finish(slow)
            slow = ""
        assert not training.blocked
        oldest = max(oldest, *training.train())
        assert oldest <= staleness
    assert oldest == staleness


def test_no_prompt_is_asked_for_that_no_step_would_train(monkeypatch: pytest.MonkeyPatch) -> None:
    training = TrainingApart(monkeypatch, staleness=2)
    for _ in range(9):
        training.trainer.prepare_step()
        training.queue.finish(
            *(uid for uid, tag in training.queue.tags.items() if tag["status"] == "running")
        )
        training.train()
    assert training.asked == 2 * 9
    assert training.queue.tags == {}


def test_idle_time_is_what_nothing_of_several_things_fills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = SimpleNamespace(s=0.0)
    monkeypatch.setattr(idle_time, "time", SimpleNamespace(monotonic=lambda: now.s))
    idle = IdleTime()
    now.s = 3.0
    with idle.at_work():
        now.s = 5.0
        with idle.at_work():
            now.s = 6.0
        now.s = 9.0
        assert idle.take() == 3.0
        now.s = 10.0
    now.s = 12.0
    assert idle.take() == 2.0
    now.s = 13.0
    with idle.at_work():
        assert idle.take() == 1.0
