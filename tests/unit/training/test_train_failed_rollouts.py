"""Rollouts whose measurement failed: verl's own loss is that of the measured ones alone.

A dictionary stands for TransferQueue, whose actors need a Ray cluster.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tensordict import TensorDict
from verl.workers.config.actor import ActorConfig
from verl.workers.utils.losses import ppo_loss

from ttsrl.records.rollout import Rollout
from ttsrl.training import trainer
from ttsrl.training.advantage import ttsrl_grpo
from ttsrl.training.trainer import SpeechTrainer
from ttsrl.training.verl_fields import extra_fields_of, reward_of
from ttsrl.wire import Failed, Ok, Outcome

PROMPT = 3
LENGTHS = [5, 7, 2, 6, 4, 8, 3, 5]
MEASURED = [0, 2, 3, 7]
"""Rows of one group that have a reward; the other four failed."""


class RolloutQueue:
    """What the trainer asks of TransferQueue."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        masks = [torch.ones(length, dtype=torch.int64) for length in LENGTHS]
        self.fields: dict[str, Any] = {
            "response_mask": nested(masks),
            "loss_mask": nested(masks),
            "extra_fields": [extra_fields_of(rollout(outcome)) for outcome in outcomes],
        }

    def kv_batch_get(self, select_fields: list[str], **_: Any) -> dict[str, Any]:
        return {name: self.fields[name] for name in select_fields}

    def kv_batch_put(self, fields: TensorDict, **_: Any) -> None:
        self.fields.update(fields.items())


def nested(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def rollout(outcome: Outcome) -> Rollout:
    return Rollout(
        group="g",
        text="a",
        speech_tokens=[1],
        speech_prefix=[],
        finished=True,
        outcome=outcome,
        generate_start_s=0.0,
        generate_end_s=1.0,
        score_end_s=2.0,
    )


def outcomes_of(measured: list[int]) -> list[Outcome]:
    return [
        Ok(reward=0.1 * i + 0.1, raw={}, utilities={}, transcript="", duration_s=1.0)
        if i in measured
        else Failed(kind="scorer")
        for i in range(len(LENGTHS))
    ]


@pytest.fixture
def updated(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The batches that verl's trainer was asked to update from."""
    batches: list[Any] = []
    monkeypatch.setattr(
        trainer.PPOTrainerSync, "_update_actor", lambda _, batch, metrics: batches.append(batch)
    )
    return batches


def update(queue: RolloutQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "tq", queue)
    keys = [str(i) for i in range(len(LENGTHS))]
    batch: Any = SimpleNamespace(keys=keys, partition_id="train", tags=[{} for _ in keys])
    object.__new__(SpeechTrainer)._update_actor(batch, {})


def gradients(
    masks: list[torch.Tensor], outcomes: list[Outcome], rows: list[int], aggregation: str
) -> torch.Tensor:
    """Gradient of verl's loss of these rows, with KL and entropy terms, to each log-probability."""
    random = torch.Generator().manual_seed(0)
    whole = [torch.randn(PROMPT + length, generator=random) for length in LENGTHS]
    logits = [row.clone().requires_grad_() for row in whole]
    of_rows = [logits[row] for row in rows]
    lengths = [LENGTHS[row] for row in rows]
    mask = nested([masks[row] for row in rows])
    advantages, _ = ttsrl_grpo(
        torch.stack([one_reward(outcomes[row], max(LENGTHS)) for row in rows]),
        torch.ones(len(rows), max(LENGTHS)),
        np.zeros(len(rows)),
    )
    data = TensorDict(
        {
            "prompts": nested([torch.zeros(PROMPT, dtype=torch.int64) for _ in rows]),
            "responses": nested([torch.zeros(n, dtype=torch.int64) for n in lengths]),
            "response_mask": mask,
            "old_log_probs": nested([whole[row][PROMPT - 1 : -1] + 0.1 for row in rows]),
            "ref_log_prob": nested([whole[row][PROMPT - 1 : -1] - 0.2 for row in rows]),
            "advantages": nested([a[:n] for a, n in zip(advantages, lengths, strict=True)]),
        },
        batch_size=len(rows),
    )
    # what verl's engine adds before it calls the loss
    whole_numbers = {"dp_size": 1, "batch_num_tokens": int(mask.sum()), "global_batch_size": 8}
    for name, value in whole_numbers.items():
        data.set_non_tensor(name, value)
    config = ActorConfig(
        strategy="fsdp",
        ppo_micro_batch_size_per_gpu=8,
        rollout_n=8,
        loss_agg_mode=aggregation,
        entropy_coeff=0.1,
        use_kl_loss=True,
        kl_loss_coef=0.5,
    )
    output = {"log_probs": nested(of_rows), "entropy": nested([row * row for row in of_rows])}
    loss, _ = ppo_loss(config, output, data)
    loss.backward()
    return torch.cat([torch.zeros_like(r) if r.grad is None else r.grad for r in logits])


def one_reward(outcome: Outcome, length: int) -> torch.Tensor:
    return torch.tensor([0.0] * (length - 1) + [reward_of(outcome)])


@pytest.mark.parametrize("aggregation", ["token-mean", "token-sum", "seq-mean-token-mean"])
def test_failed_rollouts_change_no_gradient_of_the_others(
    aggregation: str, monkeypatch: pytest.MonkeyPatch, updated: list[Any]
) -> None:
    outcomes = outcomes_of(MEASURED)
    queue = RolloutQueue(outcomes)
    update(queue, monkeypatch)
    assert len(updated) == 1
    masks = list(queue.fields["loss_mask"].unbind())
    assert [int(mask.sum()) for mask in masks] == [
        length if i in MEASURED else 0 for i, length in enumerate(LENGTHS)
    ]
    assert queue.fields["response_mask"].offsets().diff().tolist() == LENGTHS

    found = gradients(masks, outcomes, list(range(len(LENGTHS))), aggregation)
    alone = gradients(masks, outcomes, MEASURED, aggregation)
    assert alone.abs().sum() > 0.1
    torch.testing.assert_close(found, alone)


def test_a_step_of_which_nothing_was_measured_moves_no_weight(
    monkeypatch: pytest.MonkeyPatch, updated: list[Any]
) -> None:
    update(RolloutQueue(outcomes_of([])), monkeypatch)
    assert updated == []


def test_a_whole_batch_is_updated_from_as_it_is(
    monkeypatch: pytest.MonkeyPatch, updated: list[Any]
) -> None:
    queue = RolloutQueue(outcomes_of(list(range(len(LENGTHS)))))
    before = queue.fields["loss_mask"]
    update(queue, monkeypatch)
    assert len(updated) == 1
    assert queue.fields["loss_mask"] is before
