"""Seconds that a checkpoint holds an actor: written while it waits, and beside its next update.

On a GPU: python benchmarks/checkpoint_speed.py --shape 1b --work-dir DIR
Adapters alone: --set train.lora.rank=32. On several: torchrun --nproc-per-node 2 ...

verl's own actor with random weights, without generation and rewards. What has been written is
loaded again, and compared bit for bit with what it was when it was saved.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from update_speed import GIB, benchmark_run, lengths_of, make_policy, rollouts_of

from support.verl_actor import actor_of, enter_ranks, to_update, trained_tensors
from ttsrl.config.schema import RunConfig

ROLLOUTS = 16


def main() -> None:
    """Both ways in turn; the files of one are removed before the other begins."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=["1b", "test"], default="test")
    parser.add_argument("--work-dir", type=Path, required=True, help="on the disk to be measured")
    parser.add_argument("--saves", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="as of `ttsrl train`")
    arguments = parser.parse_args()
    small = arguments.shape == "test"
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rank, ranks = enter_ranks(device)
    make_policy(arguments.work_dir / "policy", arguments.shape, rank)
    for beside in ("false", "true"):  # this cannot be switched off again
        settings = ["train.learning_rate=1e-3", f"train.save_beside={beside}", *arguments.set]
        run = benchmark_run(arguments.work_dir / "policy", ranks, ROLLOUTS, device, small, settings)
        folder = arguments.work_dir / "checkpoint"
        with actor_of(run, device, {}) as worker:
            held, written = save(worker, run, folder, arguments.saves, device, small)
        if rank == 0:
            size = sum(path.stat().st_size for path in folder.glob("*_rank_0.pt"))
            print(
                f"train.save_beside={beside}: {size / GIB:.2f} GiB a rank, held for "
                f"{', '.join(f'{s:.2f}' for s in held)} s, written beside in "
                f"{', '.join(f'{s:.2f}' for s in written)} s, loaded again bit for bit",
                flush=True,
            )
        shutil.rmtree(folder, ignore_errors=True)


def save(
    worker: Any, run: RunConfig, folder: Path, saves: int, device: str, small: bool
) -> tuple[list[float], list[float]]:
    """Seconds that each save held the actor, and of each write; an update lies between two."""
    from ttsrl.training.plugin.saving import writer

    manager = worker.actor.engine.checkpoint_manager
    rollouts = rollouts_of(run, lengths_of(ROLLOUTS, 60 if small else 1150, run))
    data = to_update(rollouts, worker.compute_log_prob(rollouts.copy())["log_probs"].values())
    held, written = list[float](), list[float]()
    saved = list[torch.Tensor]()
    for _ in range(saves):
        worker.update_actor(data.copy())
        synchronise(device)
        start_s = time.perf_counter()
        manager.save_checkpoint(str(folder))
        held.append(time.perf_counter() - start_s)
        saved = state_of(worker)
        worker.update_actor(data.copy())
        writer().wait()
        written.append(writer().written() or 0.0)
    manager.load_checkpoint(str(folder))
    if not all(torch.equal(a, b) for a, b in zip(state_of(worker), saved, strict=True)):
        raise SystemExit("what was loaded is not what was saved")
    return held, written


def state_of(worker: Any) -> list[torch.Tensor]:
    """This rank's part of the weights that are trained and of their moments, in host memory."""
    tensors = trained_tensors(worker)
    local = [one.to_local() if hasattr(one, "to_local") else one for one in tensors]
    return [one.detach().to("cpu", copy=True) for one in local]


def synchronise(device: str) -> None:
    """Wait for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
