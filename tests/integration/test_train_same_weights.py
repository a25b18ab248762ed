"""A run whose trainer and reward service are killed speaks and learns as one that is not."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from support.reward_server import RewardServer, StartRewards
from support.training_job import kill_family, lines_of, start_training, wait_until
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.merge import merge_checkpoint
from ttsrl.storage.run_store import RunStore

LAST = 4
ROUNDING = 0.01
"""Of what training changed. Sums of float32 depend in their last bits on how threads and batches
divide the work, and that on when rollouts end: two undisturbed runs are not equal bit for bit."""
SAID = ("prompts_sha256", "rollouts", "tokens", "failed_share", "gated_reasons")
"""What a step's log says of its rollouts. Which of them it keeps is not compared: several may have
the best reward."""
# Of each rollout alone: a recogniser's scores have such last bits, too.
RATE = {"type": "rate", "low": 30, "high": 90, "softness": 12}
REWARD = ("reward.whisper=null", f"reward.components={json.dumps([RATE])}")
SMALL = (
    f"train.steps={LAST}",
    "train.save_every=2",
    "train.prompts_per_step=4",
    "train.warmup_steps=0",
    "rollout.group_size=4",
    "guards.built_in=false",
    "eval.during_training=null",
)


@pytest.mark.covered
@pytest.mark.timeout(3600)
def test_a_killed_run_speaks_and_learns_as_one_that_nothing_disturbed(
    start_reward_service: StartRewards, tmp_path: Path
) -> None:
    server = start_reward_service(REWARD)
    server.wait_ready()
    disturbed, calm = (run_on(server, tmp_path / name) for name in ("disturbed", "calm"))
    store = RunStore(disturbed.storage, disturbed.name)

    # the service dies while step 2 is under way, then the trainer's machine with its disk
    work_dir = tmp_path / "machine"
    job = start_training(disturbed, work_dir)
    wait_until(lambda: bool(lines_of(work_dir / "train" / "steps.jsonl")), job)
    server.stop(signal.SIGKILL)
    server = start_reward_service(REWARD, url=server.url)
    wait_until(lambda: store.newest_checkpoint() == 2, job)
    kill_family(job)
    shutil.rmtree(work_dir)
    assert "going on from step 2" in trained(disturbed, work_dir)
    trained(calm, tmp_path / "undisturbed machine")

    told, expected = (
        lines_of(folder / "train" / "steps.jsonl")
        for folder in (work_dir, tmp_path / "undisturbed machine")
    )
    for of_both in (told, expected):
        assert [step["step"] for step in of_both] == list(range(1, LAST + 1))
    for one, other in zip(told, expected, strict=True):
        assert [one[key] for key in SAID] == [other[key] for key in SAID]
        assert one["reward"] == pytest.approx(other["reward"], abs=1e-5)

    weights, undisturbed = (weights_of(run, tmp_path) for run in (disturbed, calm))
    began = as_float(load_file(Path(disturbed.model) / "model.safetensors"))
    learnt = distance(undisturbed, began)
    assert learnt > 0
    assert distance(weights, undisturbed) < ROUNDING * learnt


def distance(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Euclidean, over all weights."""
    assert one.keys() == other.keys()
    return sum(float(((w - other[name]) ** 2).sum()) for name, w in one.items()) ** 0.5


def as_float(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: weight.double() for name, weight in weights.items()}


def run_on(server: RewardServer, folder: Path) -> RunConfig:
    storage, url = f"storage={folder / 'storage'}", f"reward.url={server.url}"
    return load_run(Path(server.config), [*REWARD, *SMALL, storage, url])


def trained(run: RunConfig, work_dir: Path) -> str:
    """The output of a training that comes to its end."""
    job = start_training(run, work_dir)
    output, _ = job.communicate(timeout=1500)
    assert job.returncode == 0, output
    return output


def weights_of(run: RunConfig, folder: Path) -> dict[str, torch.Tensor]:
    """Those of the last model, merged from the published checkpoint as `ttsrl merge` does."""
    model = folder / f"model of {Path(run.storage).parent.name}"
    merge_checkpoint(RunStore(run.storage, run.name), LAST, model)
    return as_float(load_file(model / "model.safetensors"))
