"""Guards and the real trainer: a run that is set back, goes on more slowly, and is then stopped."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from support.reward_server import StartRewards
from support.training_job import lines_of, start_training
from ttsrl.config.load import load_run
from ttsrl.storage.run_store import RunStore

RATE = 4e-4
SMALL = (
    "train.steps=9",
    "train.save_every=2",
    "train.prompts_per_step=4",
    "train.warmup_steps=0",
    "train.final_learning_rate_ratio=1.0",
    f"train.learning_rate={RATE}",
    "rollout.group_size=4",
    "guards.built_in=false",
    "guards.audit=off",
    "guards.max_rollbacks=1",
)
RULES: list[dict[str, Any]] = [
    # at the full rate: steps 4 and 5 are bad, and the checkpoint of step 2 is the last good one
    {
        "name": "fast",
        "when": [{"measure": "learning_rate", "above": 0.75 * RATE}],
        "in_a_row": 2,
        "then": "rollback",
    },
    # at half the rate: judged after the base, of steps 1 to 3
    {
        "name": "slow",
        "when": [{"measure": "learning_rate", "below": 0.75 * RATE}],
        "in_a_row": 2,
        "then": "stop",
        "advice": "be patient",
    },
]


@pytest.mark.timeout(900)
def test_a_run_is_set_back_to_a_good_checkpoint_and_then_stopped_with_one(
    start_reward_service: StartRewards, tmp_path: Path
) -> None:
    server = start_reward_service()
    storage = f"storage={tmp_path / 'storage'}"
    rules = f"guards.rules={json.dumps(RULES)}"
    run = load_run(server.config, [*SMALL, storage, f"reward.url={server.url}", rules])
    server.wait_ready()
    locks = set(Path(tempfile.gettempdir()).glob("ckpt_*.lock"))
    job = start_training(run, tmp_path / "run")
    output, _ = job.communicate(timeout=800)
    assert job.returncode == 3, output
    # verl's locks of checkpoints went with the folder of the run's Ray
    assert set(Path(tempfile.gettempdir()).glob("ckpt_*.lock")) <= locks
    assert "guard fast sets the run back to step 2; learning rate 0.0002 from now on" in output
    assert "going on from step 2" in output
    assert output.splitlines()[-1].startswith("stopped: guard slow at step 5: learning_rate is")
    assert "be patient" in output.splitlines()[-1]
    # started again it says so, whether or not there is a reward service
    gone = load_run(server.config, [*SMALL, storage, "reward.url=http://127.0.0.1:9", rules])
    job = start_training(gone, tmp_path / "run")
    again, _ = job.communicate(timeout=200)
    assert job.returncode == 3, again
    assert again.splitlines()[-1] == output.splitlines()[-1]

    store, train = RunStore(run.storage, run.name), tmp_path / "run" / "train"
    steps = lines_of(train / "steps.jsonl")
    rates = {line["step"]: line["learning_rate"] for line in steps}
    assert [rates[step] for step in (1, 2)] == pytest.approx([RATE, RATE])
    # what is done again has half the rate, and is of the same prompts
    again = [rate for step, rate in rates.items() if step > 2]
    assert again == pytest.approx([RATE / 2] * len(again))
    given_up = lines_of(train / "steps.before_rollback_1.jsonl")
    assert [line["step"] for line in given_up[:5]] == [1, 2, 3, 4, 5]
    assert given_up[4]["learning_rate"] == pytest.approx(RATE)
    assert given_up[2]["prompts_sha256"] == steps[2]["prompts_sha256"]

    # the stop's own checkpoint is published, and the given-up one of step 4 has been replaced
    last = max(rates)
    assert store.newest_checkpoint() == last
    assert last in (6, 7)
    assert store.list_checkpoints() == sorted({2, 4, 6, last})
    log = [json.loads(line) for line in (train / "guards.jsonl").read_text().splitlines()]
    assert [(event["event"], event["guard"]) for event in log] == [
        ("rolling_back", "fast"),
        ("rolled_back", "fast"),
        ("tripped", "slow"),
    ]
    assert store.storage.read_text(store.guards_log) == (train / "guards.jsonl").read_text()
