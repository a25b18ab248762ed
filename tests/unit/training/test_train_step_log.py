import json
from pathlib import Path
from typing import Any

import pytest
from verl.utils.seqlen_balancing import log_seqlen_unbalance

from ttsrl.records.rollout import Rollout
from ttsrl.training.step_log import (
    StepLog,
    drop_steps_after,
    on_our_clock,
    rollout_statistics,
    samples,
    timeline,
)


def rollout(text: str = "one two", start: float = 0.0, **outcome: Any) -> Rollout:
    ok = {
        "status": "ok",
        "reward": 0.5,
        "raw": {"cer": 0.2, "nll": 1.0},
        "utilities": {"cer": 0.4, "nll": 0.7},
        "transcript": "one",
        "duration_s": 1.0,
    }
    return Rollout.model_validate(
        {
            "group": text,
            "text": text,
            "speech_tokens": [1, 2, 3],
            "speech_prefix": [],
            "finished": True,
            "outcome": outcome if "status" in outcome else ok | outcome,
            "generate_start_s": 100.0,
            "generate_end_s": 101.0 + start,
            "score_end_s": 102.0 + start,
        }
    )


GATED: dict[str, Any] = {"status": "gated", "reason": "silence"}
FAILED: dict[str, Any] = {"status": "error", "kind": "deadline"}


def test_a_failed_measurement_counts_as_failed_and_lowers_no_mean() -> None:
    clean = rollout_statistics(1, [rollout(reward=0.4), rollout(reward=0.8)])
    mixed = rollout_statistics(1, [rollout(reward=0.4), rollout(**FAILED), rollout(reward=0.8)])
    assert mixed.reward == clean.reward == 0.6000000000000001
    assert mixed.raw["cer"] == clean.raw["cer"]
    assert mixed.failed_share == 1 / 3
    assert mixed.failed_kinds == {"deadline": 1}


def test_gated_speech_is_rewarded_zero_and_counted_by_reason() -> None:
    statistics = rollout_statistics(1, [rollout(reward=0.8), rollout(**GATED)])
    assert statistics.reward == 0.4
    assert statistics.gated_reasons == {"silence": 1}


def test_a_group_that_was_rewarded_alike_has_nothing_to_learn_from() -> None:
    alike = [rollout("one", reward=0.5), rollout("one", reward=0.5)]
    alone = [rollout("two", reward=0.1), rollout("two", **FAILED)]
    apart = [rollout("three", reward=0.2), rollout("three", reward=0.6)]
    statistics = rollout_statistics(1, [*alike, *alone, *apart])
    assert statistics.zero_advantage_share == 2 / 3
    assert statistics.group_std == pytest.approx((0.0 + 0.2) / 2)


def test_samples_are_best_typical_worst_and_one_of_each_gate() -> None:
    rows = [rollout(reward=r) for r in (0.1, 0.5, 0.9)] + [rollout(**GATED), rollout(**FAILED)]
    chosen = {s.kind: s.reward for s in samples(1, rows)}
    assert chosen == {"best": 0.9, "typical": 0.5, "worst": 0.1, "gated": 0}


def test_the_timeline_shows_scoring_beside_generation() -> None:
    events = timeline(1, [rollout(), rollout(start=4.0)], {"update": 2.0}, start_s=100.0)
    by_name = {e.name: (e.start_s, e.end_s) for e in events}
    assert by_name == {"generate": (0.0, 5.0), "score": (1.0, 6.0), "update": (6.0, 8.0)}


def test_an_asynchronous_step_says_how_old_its_rollouts_are_and_who_waited(tmp_path: Path) -> None:
    age = "training/off_policy/trajectory_staleness_worst"
    verl = {f"{age}/mean": 0.5, f"{age}/max": 1}
    timers = {"gen": 0.25, "update_actor": 2.0}
    log = StepLog(tmp_path, resumed_at=0)
    # generated and scored before the step began, at 110 s
    log.write(1, [rollout(), rollout(start=4.0)], verl, timers, 110.0, 113.0, None, 1.5)
    log.write(2, [rollout()], verl, timers, 100.0, 104.0)
    apart, by_turns = (json.loads(x) for x in log.paths["steps"].read_text().splitlines())
    assert apart["asynchronous"] == {
        "staleness": 0.5,
        "staleness_max": 1,
        "trainer_waited_s": 0.25,
        "rollouts_waited_s": 1.5,
    }
    assert apart["seconds_by_stage"] == {"update": 2.0, "generate": 0.0, "wait_for_scores": 0.0}
    bars = [json.loads(x) for x in log.paths["timeline"].read_text().splitlines()]
    assert {(bar["name"], bar["start_s"], bar["end_s"]) for bar in bars if bar["step"] == 1} == {
        ("generate", 0.0, 0.0),
        ("score", 0.0, 0.0),
        ("update", 0.0, 2.0),
    }
    assert by_turns["asynchronous"] is None


def test_rollouts_of_earlier_steps_stay_when_they_were() -> None:
    early = [rollout(), rollout(start=4.0)]
    assert on_our_clock(early, start_s=None, gathered_s=500.0) == early
    late = on_our_clock(early, start_s=None, gathered_s=105.0)
    assert max(r.score_end_s for r in late) == 105.0


def test_times_of_a_machine_whose_clock_is_wrong_are_moved_into_the_step() -> None:
    right = on_our_clock([rollout(), rollout(start=4.0)], start_s=99.0, gathered_s=106.5)
    assert right == [rollout(), rollout(start=4.0)]
    for wrong_by_s in (-30.0, 30.0):
        times = ("generate_start_s", "generate_end_s", "score_end_s")
        wrong = [
            r.model_copy(update={time: getattr(r, time) + wrong_by_s for time in times})
            for r in right
        ]
        moved = on_our_clock(wrong, start_s=99.0, gathered_s=106.5)
        assert min(r.generate_start_s for r in moved) >= 99.0
        assert max(r.score_end_s for r in moved) <= 106.5
        assert moved[1].score_end_s - moved[0].score_end_s == 4.0


def test_pairs_of_steps_that_are_done_again_are_dropped_once_and_no_file_is_none(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pairs.jsonl"
    drop_steps_after(file, 2)
    assert not file.exists()
    file.write_text('{"step": 2, "n": 1}\n{"step": 2, "n": 2}\n{"step": 3}\n{"step": 4, "cut')
    drop_steps_after(file, 2)
    assert file.read_text() == '{"step": 2, "n": 1}\n{"step": 2, "n": 2}\n'


def test_a_resumed_run_drops_the_lines_of_the_steps_it_does_again(tmp_path: Path) -> None:
    log = StepLog(tmp_path, resumed_at=0)
    for step in (1, 2, 3):
        log.write(step, [rollout()], {}, {"update_actor": 1.0}, 100.0, 104.0)
    with log.paths["steps"].open("a") as file:
        file.write('{"step": 4, "cut by a ki')

    StepLog(tmp_path, resumed_at=2)

    for name in ("steps", "rollouts", "timeline"):
        lines = (tmp_path / f"{name}.jsonl").read_text().splitlines()
        assert {json.loads(line)["step"] for line in lines} == {1, 2}


def test_the_balance_is_that_of_the_tokens_as_verl_has_spread_them(tmp_path: Path) -> None:
    lengths = [10, 20, 30, 40]
    metrics = log_seqlen_unbalance(lengths, partitions=[[0, 1], [2, 3]], prefix="global_seqlen")
    log = StepLog(tmp_path, resumed_at=0)
    log.write(1, [rollout()], metrics, {}, 100.0, 104.0)
    log.write(2, [rollout()], {}, {}, 100.0, 104.0)
    spread, unknown = (json.loads(line) for line in log.paths["steps"].read_text().splitlines())
    assert spread["balance"] == 70 / 50
    assert unknown["balance"] is None
