"""Rollouts beside the updates, on processes of their own: the real trainer, killed and resumed."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import pytest
from pyarrow import parquet

from support.paths import TINY
from support.reward_server import StartRewards
from support.training_job import kill_family, lines_of, start_training, wait_until
from ttsrl.config.load import load_run
from ttsrl.storage.run_store import RunStore
from ttsrl.training.step_log import prompts_digest

STALENESS, PROMPTS, STEPS = 2, 2, 6
TEXTS = 15
"""Of which those for training are all trained, each in one step."""
SMALL = (
    f"train.asynchronous.staleness={STALENESS}",
    "train.gpus_per_node=2",
    f"train.steps={STEPS}",
    "train.save_every=2",
    f"train.prompts_per_step={PROMPTS}",
    "train.updates_per_step=2",
    "train.rollout_correction=token",  # the service's file says none in so many words
    "train.kl_coefficient=0.04",
    "rollout.group_size=4",
)


@pytest.mark.covered  # the joints are in tests/unit/training/test_train_apart.py
@pytest.mark.timeout(2400)
def test_no_prompt_is_lost_or_trained_twice_and_no_rollout_is_too_old(
    start_reward_service: StartRewards, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.jsonl"
    lines = (TINY / "texts.jsonl").read_text().splitlines(keepends=True)
    texts.write_text("".join(lines[:TEXTS]))
    server = start_reward_service()
    where = (f"storage={tmp_path / 'storage'}", f"reward.url={server.url}", f"data.texts={texts}")
    run = load_run(server.config, [*SMALL, *where])
    work_dir, store = tmp_path / "run", RunStore(run.storage, run.name)
    steps = work_dir / "train" / "steps.jsonl"
    server.wait_ready()

    job = start_training(run, work_dir)
    wait_until(lambda: store.newest_checkpoint() == 2, job)
    kill_family(job)
    before = lines_of(steps)[:2]
    shutil.rmtree(work_dir)
    job = start_training(run, work_dir)
    output, _ = job.communicate(timeout=900)
    assert job.returncode == 0, output
    assert "going on from step 2" in output

    after = lines_of(steps)
    assert [line["step"] for line in after] == [*range(1, STEPS + 1)]
    assert after[:2] == before

    infos = parquet.read_table(work_dir / "data" / "train.parquet")["extra_info"].to_pylist()
    prompts = [info["text"] for info in infos]
    assert len(prompts) == PROMPTS * STEPS
    sets = {prompts_digest(one): set(one) for one in itertools.combinations(prompts, PROMPTS)}
    trained = [text for line in after for text in sets[line["prompts_sha256"]]]
    assert sorted(trained) == sorted(prompts)

    apart = [line["asynchronous"] for line in after]
    assert all(one["staleness"] <= one["staleness_max"] <= STALENESS for one in apart)
    assert max(one["staleness_max"] for one in apart) > 0
    assert all(one["rollouts_waited_s"] >= 0 and one["trainer_waited_s"] >= 0 for one in apart)

    # the correction is on: what sampled is compared with the policy that is trained
    old = [line for line in after if line["asynchronous"]["staleness"] > 0]
    assert any(abs(line["rollout_kl"]) > 1e-5 for line in old)
    assert all(line["failed_share"] == 0 for line in after)
