"""The gradient of one update by each loss, as a program: loss_updates.py FOLDER; see LOSSES.

verl's own actor on a small policy with random weights, float32 on a CPU.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from support.paths import TINY
from support.update_ranks import PROMPTS, RESPONSES
from support.verl_actor import (
    Batch,
    actor_of,
    batch_of,
    enter_ranks,
    gradients_of,
    nested,
    to_update,
)
from ttsrl.config.load import load_run

GSPO = ["train.loss=gspo", "train.clip_low=3e-4", "train.clip_high=4e-4"]
LOSSES: dict[str, list[str]] = {
    "ppo": [],
    "gspo": [*GSPO, "train.loss_aggregation=seq-mean-token-mean"],
    "seq-mean ppo": ["train.loss_aggregation=seq-mean-token-mean"],
    "cispo": ["train.loss=cispo", "train.clip_low=1"],
    "dr. grpo": ["train.loss_aggregation=seq-mean-token-sum-norm", "train.normalise_by_std=false"],
    "token tis": ["train.rollout_correction=token"],
    "sapo": ['verl={"actor_rollout_ref.actor.policy_loss.loss_mode": "sapo"}'],
}
"""Name -> overrides of the tiny run."""
SHIFT = 0.5
"""By so much old log-probabilities lie beside the actor's own, once the policy has moved."""
WEIGHT = 0.5
"""Of rollout correction, for every token."""


def main() -> None:
    """Each loss makes the same updates, one after the other in this process."""
    folder = Path(sys.argv[1])
    os.environ["DIST_INIT_METHOD"] = f"file://{folder / 'ranks'}"
    enter_ranks("cpu")
    torch.set_num_threads(1)
    found = {name: updates(folder / "llama", overrides) for name, overrides in LOSSES.items()}
    torch.save(found, folder / "losses.pt")


def updates(model: Path, overrides: list[str]) -> dict[str, list[torch.Tensor]]:
    """Gradients at ratio 1, at exp(SHIFT), at exp(SHIFT) and exp(-SHIFT) in turn, and at ratio 1
    with weights of rollout correction."""
    small = [
        f"model={model}",
        "train.prompts_per_step=2",
        "rollout.group_size=4",
        "train.warmup_steps=0",
        "train.max_tokens_per_micro_batch=150",
        "rollout.temperature=1.0",
    ]
    run = load_run(TINY / "run.json", [*small, *overrides])
    with actor_of(run, "cpu", {}) as worker:
        batch = rollouts()
        own = worker.compute_log_prob(batch.copy())["log_probs"].values()
        waves = SHIFT * (1 - 2 * (torch.arange(len(own)) % 2))
        batches = {
            "first": to_update(batch, own),
            "moved": to_update(batch, own - SHIFT),
            "waving": to_update(batch, own - waves),
            "weighted": to_update(batch, own),
        }
        weights = [torch.full((length,), WEIGHT) for length in RESPONSES]
        batches["weighted"]["rollout_is_weights"] = nested(weights)
        return {name: gradients_of(worker, one) for name, one in batches.items()}


def rollouts() -> Batch:
    """Eight rollouts of random tokens, and random advantages."""
    random = torch.Generator().manual_seed(0)
    lengths = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    rows = [torch.randint(1000, (n,), generator=random) for n in lengths]
    return batch_of(
        [row[:p] for row, p in zip(rows, PROMPTS, strict=True)],
        [row[p:] for row, p in zip(rows, PROMPTS, strict=True)],
        torch.randn(len(rows), generator=random).tolist(),
        of_all=len(rows),
        temperature=1.0,
    )


if __name__ == "__main__":
    main()
