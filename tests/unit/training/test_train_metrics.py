import json
import math
import re
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from support.paths import TINY
from support.records import step_of
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput
from ttsrl.records.during import ChangeEstimate, DuringTrainingState
from ttsrl.records.evaluation import AdaptationFigure, ReportJudge
from ttsrl.records.rollout import Rollout
from ttsrl.records.tracking import TrackerStatus
from ttsrl.storage.run_store import RunStore
from ttsrl.training import metrics as module
from ttsrl.training.follower import Follower
from ttsrl.training.guarding import GuardWatch
from ttsrl.training.metrics import HeldOut, TrainMetrics, serve
from ttsrl.training.step_log import StepLog

TINY_RUN = TINY / "run.json"


def rollout(group: str, **outcome: Any) -> Rollout:
    ok = {
        "status": "ok",
        "reward": 0.5,
        "raw": {"cer": 0.2, "nll": 1.0},
        "utilities": {"cer": 0.4, "nll": 0.7},
        "transcript": "one",
        "duration_s": 1.5,
    }
    return Rollout.model_validate(
        {
            "group": group,
            "text": group,
            "speech_tokens": [1, 2, 3],
            "speech_prefix": [],
            "finished": True,
            "outcome": outcome if "status" in outcome else ok | outcome,
            "generate_start_s": 100.0,
            "generate_end_s": 102.0,
            "score_end_s": 103.0,
        }
    )


ROLLOUTS = [
    rollout("one", reward=0.25),
    rollout("one", reward=0.75),
    rollout("two", status="gated", reason="silence"),
    rollout("two", status="error", kind="deadline"),
]
VERL = {
    "actor/lr": 1e-4,
    "actor/grad_norm": 0.5,
    "actor/entropy": 0.3,
    "actor/kl_loss": 0.01,
    "rollout_corr/kl": 0.002,
    "global_seqlen/balanced_max": 600,
    "global_seqlen/mean": 500.0,
}


class Run:
    """A run's train folder, and the metrics of a supervisor that follows it."""

    def __init__(self, folder: Path, started_at_s: float = 0.0) -> None:
        self.log = StepLog(folder, resumed_at=0)
        self.checkpoints = folder / "checkpoints.jsonl"
        self.metrics = TrainMetrics(load_run(TINY_RUN), "cpu")
        self.metrics.start_s = started_at_s
        self.follower = Follower(folder, self.metrics)

    def step(self, step: int, ended_at_s: float = 104.0) -> None:
        timers = {"update_actor": 0.5, "update_weights": 0.1}
        verl = VERL | {"actor/pg_loss": 0.2}
        self.log.write(step, ROLLOUTS, verl, timers, 100.0, ended_at_s, {"node:0": 0.4})

    def checkpoint(self, **line: Any) -> None:
        with self.checkpoints.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def scrape(self) -> dict[str, float]:
        """`name{label="value"}` without the run's own label -> value."""
        registry = CollectorRegistry()
        registry.register(self.metrics)
        text = generate_latest(registry).decode()
        samples: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = {k: v for k, v in sample.labels.items() if k != "run"}
                assert sample.labels["run"] == "quickstart"
                inner = ",".join(f'{k}="{v}"' for k, v in labels.items())
                samples[
                    sample.name.removeprefix("ttsrl_train_") + (f"{{{inner}}}" * bool(inner))
                ] = sample.value
        return samples


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_step_is_scraped_with_its_outcomes_and_its_seconds(run: Run) -> None:
    run.step(7)
    assert run.follower.look() is True
    seen = run.scrape()
    expected = {
        "step": 7,
        'gpu_idle_share{gpu="node:0"}': 0.4,
        "planned_steps": 24,
        "last_step_timestamp_seconds": 104,
        "reward_mean": 1 / 3,
        'raw_mean{component="cer"}': 0.2,
        'utility_mean{component="nll"}': 0.7,
        "speech_tokens_mean": 3,
        "speech_seconds_mean": 1.5,
        "end_token_share": 1,
        'gated_share{reason="silence"}': 0.25,
        'gated_share{reason="too_long"}': 0,
        'failed_share{kind="deadline"}': 0.25,
        "group_std": 0.25,
        "zero_advantage_group_share": 0.5,
        "kl": 0.01,
        "rollout_kl": 0.002,
        "entropy": 0.3,
        "policy_loss": 0.2,
        "grad_norm": 0.5,
        "learning_rate": 1e-4,
        "balance": 1.2,
        "step_seconds": 4,
        'stage_seconds{stage="generate"}': 2,
        'stage_seconds{stage="wait_for_scores"}': 1,
        'stage_seconds{stage="update"}': 0.5,
        "waiting_share": 0.25,
        'rollouts_total{outcome="ok"}': 2,
        'rollouts_total{outcome="gated"}': 1,
        'rollouts_total{outcome="error"}': 1,
        "speech_tokens_total": 12,
    }
    assert {name: seen[name] for name in expected} == pytest.approx(expected)


def test_counters_count_the_steps_of_this_start_alone(tmp_path: Path) -> None:
    run = Run(tmp_path, started_at_s=150.0)
    run.step(1, ended_at_s=104.0)
    assert run.follower.look() is False
    assert run.scrape()["step"] == 1
    assert run.scrape()["steps_total"] == 0
    run.step(2, ended_at_s=160.0)
    assert run.follower.look() is True
    seen = run.scrape()
    assert seen["steps_total"] == 1
    assert seen["spent_seconds_total"] == 60
    assert seen['spent_stage_seconds_total{stage="update"}'] == 0.5


def test_a_value_that_a_step_lacks_has_no_series(run: Run) -> None:
    run.log.write(1, [rollout("one", status="error", kind="nan")] * 2, {}, {}, 100.0, 104.0)
    run.follower.look()
    seen = run.scrape()
    assert seen['failed_share{kind="nan"}'] == 1
    assert not {"reward_mean", "kl", "group_std", 'raw_mean{component="cer"}'} & seen.keys()


def test_the_last_published_checkpoint_and_the_step_resumed_from_are_known(run: Run) -> None:
    run.checkpoint(event="resumed", step=4, at_s=90.0)
    run.follower.look()
    seen = run.scrape()
    assert seen["step"] == seen["resumed_step"] == seen["checkpoint_step"] == 4
    run.checkpoint(event="published", step=10, at_s=110.0, seconds=2.5, bytes=1000)
    run.follower.look()
    seen = run.scrape()
    assert seen["checkpoint_step"] == 10
    assert seen["checkpoint_timestamp_seconds"] == 110
    assert seen["checkpoint_publish_seconds"] == 2.5
    assert seen["checkpoints_published_total"] == 1


def test_the_newest_evaluation_of_each_suite_is_shown(run: Run) -> None:
    run.metrics.on_evaluation(HeldOut("held-out", 20, {("judge", "sampled"): 0.1}))
    run.metrics.on_evaluation(HeldOut("held-out", 10, {("judge", "sampled"): 0.3}))
    seen = run.scrape()
    assert seen['held_out_cer{decoding="sampled",judge="judge",suite="held-out"}'] == 0.1
    assert seen['held_out_step{suite="held-out"}'] == 20


def test_what_a_rollback_gives_up_is_no_longer_shown(run: Run) -> None:
    run.metrics.on_evaluation(HeldOut("held-out", 20, {("judge", "sampled"): 0.1}))
    run.metrics.set_back()
    run.metrics.on_evaluation(HeldOut("held-out", 10, {("judge", "sampled"): 0.3}))
    assert run.scrape()['held_out_step{suite="held-out"}'] == 10


ADAPTED = AdaptationFigure.model_validate(
    {"kin": "whisper", "unlike": "judge", "mode": "sampled", "texts": 9}
    | {name: {"value": 0.3, "low": 0.2, "high": 0.4} for name in ("kin_gain", "adaptation")}
    | {"unlike_gain": {"value": 0.0, "low": -0.1, "high": 0.1}}
)
LISTENED = HeldOut(
    "held-out",
    20,
    {("whisper", "sampled"): 0.05, ("judge", "sampled"): 0.1},
    [
        ReportJudge(name="whisper", type="whisper", model="w", kinship="kin"),
        ReportJudge(name="judge", type="ctc", model="j", kinship="unlike"),
    ],
    [ADAPTED],
)


def test_the_verdicts_judge_and_what_only_kin_hears_are_shown(run: Run) -> None:
    run.metrics.on_evaluation(LISTENED)
    seen = run.scrape()
    assert seen['held_out_verdict_cer{decoding="sampled",judge="judge",suite="held-out"}'] == 0.1
    assert seen['held_out_judge_info{judge="whisper",kinship="kin",suite="held-out"}'] == 1
    labels = 'decoding="sampled",judge="judge",kin="whisper",suite="held-out"'
    assert seen[f"held_out_adaptation{{{labels}}}"] == 0.3


def test_a_checkpoint_is_compared_with_the_base_and_what_waits_is_counted(run: Run) -> None:
    evaluate_beside(run)
    seen = run.scrape()
    series = 'held_out_cer_change{decoding="sampled",estimate="%s",judge="j",suite="s.during"}'
    shown = {estimate: seen[series % estimate] for estimate in ("value", "low", "high")}
    assert shown == {"value": -0.1, "low": -0.2, "high": 0.05}
    assert seen["checkpoints_evaluated"] == 2
    assert seen["checkpoints_waiting"] == seen["checkpoints_skipped"] == 1
    assert seen["evaluation_failures"] == 4


def evaluate_beside(run: Run) -> None:
    change = ChangeEstimate(value=-0.1, low=-0.2, high=0.05)
    heard = ("j", "sampled")
    run.metrics.on_evaluation(HeldOut("s.during", 20, {heard: 0.1}, cer_change={heard: change}))
    run.metrics.during_training = DuringTrainingState(
        evaluated=[0, 10, 20], waiting=[30], skipped={"5": "gone"}, failures=4, at_s=1.0
    )


def guards_of(run: Run) -> GuardWatch:
    store = RunStore(str(run.checkpoints.parent / "storage"), "quickstart")
    return GuardWatch(run.metrics.run, store, run.checkpoints.parent)


def test_guards_are_exported_by_name_with_what_they_do(run: Run) -> None:
    run.metrics.guards = guards = guards_of(run)
    for number in range(1, 10):
        guards.on_step(step_of(number, policy_loss=math.nan if number == 9 else 0.1))
    samples = run.scrape()
    assert samples['guard_tripped{guard="loss",then="stop"}'] == 1
    assert samples['guard_trips_total{guard="loss",then="stop"}'] == 1
    assert samples['guard_tripped{guard="pitch",then="stop"}'] == 0
    assert samples["rollbacks_total"] == 0
    assert samples['guard_nearness{guard="loss",then="stop"}'] == 1
    assert samples['guard_nearness{guard="end_token",then="stop"}'] == 0
    assert 'guard_nearness{guard="pitch",then="stop"}' not in samples  # these steps measured none


def test_how_near_a_guard_is_to_its_limit_is_exported_before_it_trips(run: Run) -> None:
    run.metrics.guards = guards = guards_of(run)
    for number in range(1, 9):
        guards.on_step(step_of(number, duration_s=4.0 if number <= 3 else 3.5))
    samples = run.scrape()
    assert samples['guard_nearness{guard="duration_down",then="stop"}'] == pytest.approx(0.5)
    assert samples['guard_nearness{guard="duration_up",then="stop"}'] == 0
    assert samples['guard_tripped{guard="duration_down",then="stop"}'] == 0


def test_what_trackers_have_and_lack_is_counted(run: Run) -> None:
    run.metrics.trackers = [MLFLOW]
    seen = run.scrape()
    assert seen['tracker_step{tracker="mlflow"}'] == 7
    assert seen['tracker_errors_total{tracker="mlflow"}'] == 3
    assert seen['tracker_dropped_total{tracker="mlflow"}'] == 2


MLFLOW = TrackerStatus(name="mlflow", step=7, errors=3, dropped=2, trouble="down")


def test_the_list_in_the_docstring_is_what_is_exported(run: Run) -> None:
    run.step(1)
    run.checkpoint(event="published", step=10, at_s=110.0, seconds=2.5, bytes=1000)
    run.follower.look()
    run.metrics.on_evaluation(LISTENED)
    evaluate_beside(run)
    run.metrics.guards = guards = guards_of(run)
    for number in range(1, 9):
        guards.on_step(step_of(number))
    run.metrics.trackers = [MLFLOW]
    exported = {"ttsrl_train_" + name.partition("{")[0] for name in run.scrape()}
    listed = set(re.findall(r"ttsrl_train_\w+", module.__doc__ or ""))
    assert exported == listed


def test_metrics_are_served_and_a_taken_port_is_refused() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    metrics = TrainMetrics(load_run(TINY_RUN), "cpu")
    serve(metrics, port)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics")
    assert 'ttsrl_train_planned_steps{run="quickstart"} 24.0' in answer.text
    with pytest.raises(BadInput, match=str(port)):
        serve(metrics, port)
