"""Dynamic sampling: verl's own replay buffer with the metric of our rollout worker, and the bound
that our trainer sets. A dictionary stands for TransferQueue, whose actors need a Ray cluster."""

from types import SimpleNamespace
from typing import Any

import pytest
from verl.trainer.ppo.v1 import replay_buffer
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import Failure
from ttsrl.training import trainer
from ttsrl.training.rollout_worker import advantages_in_group
from ttsrl.training.trainer import SpeechTrainer
from ttsrl.training.verl_args import GROUP_METRIC
from ttsrl.wire import Failed, Ok, Outcome

TINY_RUN = TINY / "run.json"
FAILED = Failed(kind="deadline")


def ok(reward: float) -> Ok:
    return Ok(reward=reward, raw={}, utilities={}, transcript="", duration_s=1.0)


DIFFERENT: list[Outcome] = [ok(0.2), ok(0.7)]
ALIKE: list[Outcome] = [ok(0.5), ok(0.5)]
HALF_FAILED: list[Outcome] = [ok(0.5), FAILED]


class Queue:
    """What the replay buffer asks of TransferQueue."""

    def __init__(self, run: RunConfig) -> None:
        self.run = run
        self.tags: dict[str, dict[str, Any]] = {}
        self.fields: dict[str, dict[str, Any]] = {}

    def finish(self, uid: str, outcomes: list[Outcome]) -> None:
        """A group comes back from the rollout worker."""
        self.tags[uid] = {"is_prompt": True, "status": "finished", "global_steps": 1}
        for i, advantage in enumerate(advantages_in_group(self.run, outcomes)):
            self.tags[f"{uid}_{i}_0"] = {"status": "success"}
            self.fields[f"{uid}_{i}_0"] = {"reward_extra_info": {GROUP_METRIC: advantage}}

    def kv_list(self) -> dict[str, Any]:
        return {"train": dict(self.tags)}

    def kv_batch_get(self, keys: list[str], **_: Any) -> dict[str, Any]:
        return {"extra_fields": [self.fields[key] for key in keys]}

    def kv_clear(self, keys: list[str], **_: Any) -> None:
        for key in keys:
            self.tags.pop(key, None)


def test_groups_that_teach_nothing_are_replaced_until_the_step_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = Queue(load_run(TINY_RUN, ["train.dynamic_sampling=true"]))
    monkeypatch.setattr(replay_buffer, "tq", queue)
    coming = iter(
        [
            ("d", ALIKE),
            ("e", DIFFERENT),
            ("f", HALF_FAILED),
            ("g", DIFFERENT),
            ("h", ALIKE),
            ("i", ALIKE),
        ]
    )

    def refill(count: int) -> None:
        for _ in range(count):
            uid, outcomes = next(coming)
            queue.finish(uid, outcomes)

    buffer = ReplayBuffer(
        trainer_mode="sync",
        trainer_config=SimpleNamespace(),  # pyright: ignore[reportArgumentType]
        max_off_policy_threshold=1,
        max_off_policy_strategy="drop",
        sampler_kwargs=SimpleNamespace(),  # pyright: ignore[reportArgumentType]
        poll_interval=0.0,
        refill_fn=refill,
        filter_groups_metric=GROUP_METRIC,
        train_batch_size=3,
        gen_batch_size=1,
    )
    for uid, outcomes in (("a", DIFFERENT), ("b", ALIKE), ("c", HALF_FAILED)):
        queue.finish(uid, outcomes)

    batch, metrics = buffer.sample(global_steps=1, partition_id="train", batch_size=3)

    assert {key.split("_")[0] for key in batch.keys} == {"a", "e", "g"}
    assert metrics["training/filter_groups/evicted_samples"] == 6


def test_a_step_that_finds_nothing_to_learn_from_ends_the_run_and_says_why(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = load_run(TINY_RUN, ["train.prompts_per_step=4", "train.max_generation_batches=3"])
    monkeypatch.setattr(trainer, "run_here", lambda: run)
    monkeypatch.setattr(
        trainer.PPOTrainerSync, "_submit_batch_to_rollout", lambda _, batch: len(batch)
    )
    ours: Any = object.__new__(SpeechTrainer)  # verl's classes are not made for it
    ours.prompts_asked, ours.global_steps = 0, 7
    for batch in ([0] * 12, [0] * 24):
        assert ours._submit_batch_to_rollout(batch) == len(batch)
    with pytest.raises(Failure, match=r"step 7 would need more than 3 x 12 prompts"):
        ours._submit_batch_to_rollout([0])
