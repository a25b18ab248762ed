"""The ranks of an update, as a program: update_ranks.py FOLDER; results go to FOLDER.

One rank makes the update of both policies there, padded and packed; two and four ranks that of the
first, packed. verl is imported once, and the ranks are forks.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any

import torch

from support.paths import TINY
from support.verl_actor import (
    PADDED,
    actor_of,
    batch_of,
    enter_ranks,
    gradients_of,
    share_of,
    to_update,
)
from ttsrl.config.load import load_run

PROMPTS = [7, 3, 12, 5, 7, 9, 4, 6]
RESPONSES = [20, 1, 33, 8, 15, 30, 2, 25]
TEMPERATURE = 0.8


def main() -> None:
    """All numbers of ranks, one after the other."""
    folder = Path(sys.argv[1])
    enter_ranks("cpu")
    torch.set_num_threads(1)
    importlib.import_module("verl.workers.engine_workers")  # once, for all forks

    both = [(policy, way) for policy in ("llama", "qwen2") for way in ("packed", "padded")]
    run_ranks(folder, 1, both)
    for ranks in (2, 4):
        run_ranks(folder, ranks, both[:1])


def run_ranks(folder: Path, ranks: int, ways: list[tuple[str, str]]) -> None:
    """Start so many and wait for them; ends the program where one fails."""
    fork = multiprocessing.get_context("fork")
    jobs = [fork.Process(target=rank_of, args=(folder, r, ranks, ways)) for r in range(ranks)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        sys.exit(1)


def rank_of(folder: Path, rank: int, ranks: int, ways: list[tuple[str, str]]) -> None:
    """One of them."""
    # torch makes its threads anew at the first use in a fork. Here, by this thread, and not by two
    # of autograd's at once: one would find none ("Invalid thread pool!") and end the process.
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank)}
    os.environ["DIST_INIT_METHOD"] = f"file://{folder / f'ranks-{ranks}'}"
    found = {
        f"{policy} {way}": updated(folder / policy, PADDED if way == "padded" else {}, rank, ranks)
        for policy, way in ways
    }
    torch.save(found, folder / f"{ranks}-{rank}.pt")


def updated(model: Path, keys: dict[str, Any], rank: int, ranks: int) -> dict[str, Any]:
    """What a rank finds for its rollouts, by their number, and the gradient of all."""
    run = load_run(
        TINY / "run.json",
        [
            f"model={model}",
            f"train.gpus_per_node={ranks}",
            "train.prompts_per_step=2",
            "rollout.group_size=4",
            "train.warmup_steps=0",
            "train.max_tokens_per_micro_batch=70",
            f"rollout.temperature={TEMPERATURE}",
        ],
    )
    lengths = [p + r for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    random = torch.Generator().manual_seed(0)
    rows = [torch.randint(1000, (n,), generator=random) for n in lengths]
    advantages = torch.randn(len(rows), generator=random).tolist()
    mine = share_of(lengths, rank, ranks)
    batch = batch_of(
        [rows[i][: PROMPTS[i]] for i in mine],
        [rows[i][PROMPTS[i] :] for i in mine],
        [advantages[i] for i in mine],
        of_all=len(rows),
        temperature=TEMPERATURE,
    )
    with actor_of(run, "cpu", keys) as worker:
        output = worker.compute_log_prob(batch.copy())
        data = to_update(batch, output["log_probs"].values())
        gradients = gradients_of(worker, data.copy())
        worker.update_actor(data.copy())
        again = worker.update_actor(data.copy())["metrics"]
        return {
            "log_probs": of_responses(output["log_probs"], mine),
            "entropy": of_responses(output["entropy"], mine),
            "gradients": gradients,
            "second_loss": again["loss"],
        }


def of_responses(values: torch.Tensor, rollouts: list[int]) -> dict[int, torch.Tensor]:
    """By the rollout's number. The last token's is left out: it is that of whatever comes next."""
    rows = zip(rollouts, values.unbind(), strict=True)
    return {i: row[PROMPTS[i] - 1 : -1] for i, row in rows}


if __name__ == "__main__":
    main()
