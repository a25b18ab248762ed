"""The ranks of an update, as a program: update_ranks.py FOLDER; results go to FOLDER.

One rank makes the update of both policies there, padded and packed; two and four ranks that of the
first, packed. Each number of ranks saves a checkpoint then, and another continues from it; one rank
is killed before, while it writes another checkpoint. verl is imported once, and the ranks are
forks.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any

import torch

from support.paths import TINY
from support.verl_actor import (
    PADDED,
    Batch,
    actor_of,
    batch_of,
    enter_ranks,
    gradients_of,
    share_of,
    to_update,
    trained_tensors,
)
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.storage.run_store import RunStore
from ttsrl.training.shard_writer import ShardWriter
from ttsrl.training.shards import SHARDS, shard_name

PROMPTS = [7, 3, 12, 5, 7, 9, 4, 6]
RESPONSES = [20, 1, 33, 8, 15, 30, 2, 25]
TEMPERATURE = 0.8
RESUMED = [(1, 1), (1, 2), (2, 4), (4, 1)]
"""How many ranks saved, and how many continue."""
LORA = "lora"
"""The way of an update that trains adapters."""
WHOLE = 0
"""In place of the number of ranks that saved: one, the adapters with the policy beside them."""
ADAPTERS = [(1, 1), (1, 2), (2, 1), (WHOLE, 1)]
"""Of a policy with adapters: how many ranks saved, and how many continue."""
HALF = 2
"""The step whose checkpoint is never whole."""


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
    kill_in_mid_write(folder)
    for saved, ranks in RESUMED:
        run_ranks(folder, ranks, both[:1], saved)
        left = [*(folder / f"saved-{saved}").glob(f"*_world_size_{ranks}_*")]
        if left and saved != ranks:
            sys.exit(f"made for one loading, and left: {left}")
    for saved, ranks in [(None, 1), (None, 2), *ADAPTERS]:
        run_ranks(folder, ranks, [("llama", LORA)], saved)


def run_ranks(
    folder: Path, ranks: int, ways: list[tuple[str, str]], saved: int | None = None
) -> None:
    """Start so many and wait for them; ends the program where one fails."""
    fork = multiprocessing.get_context("fork")
    jobs = [
        fork.Process(target=rank_of, args=(folder, rank, ranks, ways, saved))
        for rank in range(ranks)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    if any(job.exitcode for job in jobs):
        sys.exit(1)


def rank_of(
    folder: Path, rank: int, ranks: int, ways: list[tuple[str, str]], saved: int | None
) -> None:
    """One of them."""
    # torch makes its threads anew at the first use in a fork. Here, by this thread, and not by two
    # of autograd's at once: one would find none ("Invalid thread pool!") and end the process.
    torch.set_num_threads(1)
    of_adapters = f"{LORA}-" if ways[0][1] == LORA else ""
    name = of_adapters + (f"{ranks}" if saved is None else f"{saved}-{ranks}")
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank)}
    os.environ["DIST_INIT_METHOD"] = f"file://{folder / f'ranks-{name}'}"
    found = dict[str, Any]()
    for policy, way in ways:
        mine = rollouts_of(rank, ranks)
        keys = PADDED if way == "padded" else {}
        with actor_of(run_of(folder / policy, ranks, way), "cpu", keys) as worker:
            if way == LORA:
                update_adapters(worker, mine[0])
                found["sent"] = sent(worker) if saved is None else None
            elif saved is None:
                found[f"{policy} {way}"] = updated(worker, *mine)
            if way == LORA and (saved, ranks) == (None, 1):
                save_whole(worker, folder / f"{LORA}-saved-{WHOLE}")
            if (policy, way) == ways[0]:
                checkpoint = folder / f"{of_adapters}saved-{ranks if saved is None else saved}"
                found["resumed"] = resumed(worker, *mine, checkpoint, load=saved is not None)
    torch.save(found, folder / f"{name}-{rank}.pt")


def update_adapters(worker: Any, batch: Batch) -> None:
    """So that none is 0. What is loaded afterwards takes their place."""
    output = worker.compute_log_prob(batch.copy())
    worker.update_actor(to_update(batch, output["log_probs"].values()))


def sent(worker: Any) -> dict[str, Any]:
    """Weights on their way to the rollouts, by ttsrl and by verl; whether the trained ones stay."""
    from verl.utils.fsdp_utils import merged_lora_context, normalize_peft_param_name

    engine = worker.actor.engine
    before = whole_state(worker)
    ours = {name: weight.clone() for name, weight in engine.get_per_tensor_param()[0]}
    with merged_lora_context(engine.module, backup_adapters=True):
        state = normalize_peft_param_name(engine.module.state_dict())
        theirs = {name: tensor.full_tensor().bfloat16() for name, tensor in state.items()}
    after = whole_state(worker)
    kept = all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    return {"ours": ours, "theirs": theirs, "kept": kept}


def save_whole(worker: Any, folder: Path) -> None:
    """As adapters were saved before they were saved alone."""
    from ttsrl.training.plugin.saving import writer

    manager = worker.actor.engine.checkpoint_manager
    manager_class = type(manager)
    alone = manager_class.should_save_lora_only
    manager_class.should_save_lora_only = False
    manager.save_checkpoint(str(folder))
    writer().wait()
    manager_class.should_save_lora_only = alone


class Stalls:
    """What torch.save never gets to the end of; it says when it has come so far."""

    def __init__(self, reached: Any) -> None:
        self.reached = reached

    def __deepcopy__(self, _: object) -> Stalls:
        return self

    def __reduce__(self) -> Any:
        self.reached.set()
        threading.Event().wait()


def kill_in_mid_write(folder: Path) -> None:
    """What one rank saved is published; while it writes the next checkpoint it is killed, and what
    is then restored takes the place of what it saved."""
    from ttsrl.training.checkpoints import missing, publish_checkpoint, restore, scan
    from ttsrl.training.machines import TRACKER, Disk, here

    saved, checkpoints = folder / "saved-1", folder / "run" / "checkpoints"
    store = RunStore(str(folder / "storage"), "run")
    machines = [here(Disk(store.storage.address(), "run", checkpoints))]
    whole, half = (checkpoints / f"global_step_{step}" for step in (HALF - 1, HALF))
    shutil.copytree(saved, whole / "actor")
    (whole / "data.pt").touch()
    (checkpoints / TRACKER).write_text(str(HALF - 1))
    publish_checkpoint(store, machines, HALF - 1, scan(machines, HALF - 1))

    fork = multiprocessing.get_context("fork")
    reached = fork.Event()
    rank = fork.Process(target=write_half, args=(half / "actor", reached))
    rank.start()
    if not reached.wait(300):
        sys.exit("the second file was not begun")
    rank.kill()
    rank.join()
    first, second, third = (shard_name(kind, 1, 0) for kind in SHARDS)
    names = {path.name.removeprefix(".") for path in (half / "actor").iterdir()}
    if first not in names or {second, third} & names or len(names) != 2:
        sys.exit(f"no half of a checkpoint: {names}")
    if f"actor/{second}" not in missing(scan(machines, HALF)):
        sys.exit("half of a checkpoint is taken for a whole one")
    if restore(store, machines, checkpoints) != HALF - 1 or half.exists():
        sys.exit("the checkpoint before was not restored")
    shutil.rmtree(saved)
    shutil.copytree(whole / "actor", saved)


def write_half(folder: Path, reached: Any) -> None:
    """A rank that never gets to the end of its second file."""
    torch.set_num_threads(1)
    first, second, third = (shard_name(kind, 1, 0) for kind in SHARDS)
    weights = {"weight": torch.ones(100_000)}
    states = {first: weights, second: {"weights": weights, "stalls": Stalls(reached)}, third: {}}
    folder.mkdir(parents=True)
    writer = ShardWriter()
    writer.begin(folder, states)
    writer.wait()


def run_of(model: Path, ranks: int, way: str) -> RunConfig:
    """The tiny run with this policy."""
    settings = [
        f"model={model}",
        f"train.gpus_per_node={ranks}",
        "train.prompts_per_step=2",
        "rollout.group_size=4",
        "train.warmup_steps=0",
        "train.max_tokens_per_micro_batch=70",
        f"rollout.temperature={TEMPERATURE}",
    ]
    if way == LORA:
        settings += ["train.lora.rank=4", "train.learning_rate=0.01"]
    return load_run(TINY / "run.json", settings)


def rollouts_of(rank: int, ranks: int) -> tuple[Batch, list[int]]:
    """A rank's rollouts, and which they are of all."""
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
    return batch, mine


def updated(worker: Any, batch: Batch, mine: list[int]) -> dict[str, Any]:
    """What a rank finds for its rollouts, by their number, and the gradient of all."""
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


def resumed(
    worker: Any, batch: Batch, mine: list[int], checkpoint: Path, *, load: bool
) -> dict[str, Any]:
    """Weights and moments as they are saved or loaded, and the log-probabilities one update on.

    What is saved is written after that update only.
    """
    from ttsrl.training.plugin.saving import writer

    updated = threading.Event()
    writer().thread.submit(updated.wait)
    manager = worker.actor.engine.checkpoint_manager
    if load:
        manager.load_checkpoint(str(checkpoint))
    else:
        manager.save_checkpoint(str(checkpoint))
    state = whole_state(worker)
    output = worker.compute_log_prob(batch.copy())
    worker.update_actor(to_update(batch, output["log_probs"].values()))
    after = worker.compute_log_prob(batch.copy())["log_probs"]
    updated.set()
    writer().wait()
    return {"state": state, "log_probs": of_responses(after, mine)}


def whole_state(worker: Any) -> list[torch.Tensor]:
    """Every parameter and both of its moments, whole."""
    tensors = trained_tensors(worker)
    whole = [one.full_tensor() if hasattr(one, "full_tensor") else one for one in tensors]
    return [one.detach().clone() for one in whole]


def of_responses(values: torch.Tensor, rollouts: list[int]) -> dict[int, torch.Tensor]:
    """By the rollout's number. The last token's is left out: it is that of whatever comes next."""
    rows = zip(rollouts, values.unbind(), strict=True)
    return {i: row[PROMPTS[i] - 1 : -1] for i, row in rows}


if __name__ == "__main__":
    main()
