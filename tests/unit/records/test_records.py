"""Records on disk: they come back as they were written, also by other versions."""

import json
import math
from pathlib import Path

import pytest

from support.records import row_of, step_of
from ttsrl.errors import BadInput
from ttsrl.records.checkpoint import (
    CheckpointPublished,
    CheckpointRestored,
    parse_checkpoint_event,
)
from ttsrl.records.evaluation import EvaluationRow, ReportJudge
from ttsrl.records.record import append_lines, parse, read_lines, to_line, write_lines
from ttsrl.records.rollout import Rollout
from ttsrl.records.step import TrainingStep
from ttsrl.training.verl_fields import extra_fields_of, rollout_of
from ttsrl.wire import Failed, Gated, Ok, Outcome


def test_scores_stand_beside_the_other_keys_of_a_step_and_come_back() -> None:
    step = step_of(3, raw={"cer": 0.2, "wer": 0.3}, utilities={"cer": 0.5}, grad_norm=math.nan)
    line = json.loads(to_line(step))
    assert (line["cer"], line["wer"], line["utility_cer"]) == (0.2, 0.3, 0.5)
    assert not {"raw", "utilities"} & line.keys()
    read = parse(TrainingStep, to_line(step), "here")
    assert (read.raw, read.utilities) == (step.raw, step.utilities)
    assert read.grad_norm is not None and math.isnan(read.grad_norm)
    assert next(iter(line)) == "step"


def test_keys_of_newer_versions_are_ignored_and_those_of_older_ones_have_defaults() -> None:
    line = json.loads(to_line(step_of(1, raw={"cer": 0.2})))
    newer = parse(TrainingStep, json.dumps(line | {"lanes": ["a"], "note": "b"}), "here")
    assert newer == step_of(1, raw={"cer": 0.2})
    for key in ("group_std", "zero_advantage_share", "tokens", "replaced_groups", "ended_at_s"):
        del line[key]
    older = parse(TrainingStep, json.dumps(line), "here")
    assert (older.group_std, older.tokens, older.ended_at_s) == (None, 0, 0.0)


def test_a_judge_that_gave_the_reward_is_known_in_reports_of_the_first_version() -> None:
    old = '{"name": "w", "type": "whisper", "model": "m", "gave_reward": true}'
    assert parse(ReportJudge, old, "here").used_in_reward


def test_what_is_not_a_record_is_refused_in_one_line_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_lines(path, [row_of(0, {"judge": 0.5})])
    with path.open("a") as file:
        file.write('{"index": 1}\n')
    with pytest.raises(BadInput) as refused:
        read_lines(EvaluationRow, path)
    assert str(refused.value).startswith(f"{path}:2: text: Field required;")
    assert "\n" not in str(refused.value)
    with pytest.raises(BadInput, match="Invalid JSON"):
        parse(EvaluationRow, '{"index', path)


def test_a_file_that_grows_is_read_up_to_its_last_line_end(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    assert read_lines(EvaluationRow, path) == []
    rows = [row_of(n, {"judge": None}, text="一\u2028二") for n in range(2)]
    append_lines(path, rows[:1])
    append_lines(path, rows[1:])
    with path.open("ab") as file:
        file.write('{"text": "三'.encode()[:-1])
    assert read_lines(EvaluationRow, path) == rows


def test_checkpoint_events_are_told_apart() -> None:
    events = [
        CheckpointRestored(step=2, at_s=1.5),
        CheckpointPublished(step=4, at_s=2.5, bytes=10, seconds=0.5),
    ]
    assert [parse_checkpoint_event(to_line(event), "here") for event in events] == events


@pytest.mark.parametrize(
    "outcome",
    [
        Ok(reward=0.5, raw={"cer": 0.1}, utilities={"cer": 0.9}, transcript="一", duration_s=1.0),
        Gated(reason="silence"),
        Failed(kind="deadline", detail="late"),
    ],
)
def test_a_rollout_crosses_verl_whole(outcome: Outcome) -> None:
    rollout = Rollout(
        group="g",
        text="一",
        speech_tokens=[1, 2],
        speech_prefix=[],
        finished=True,
        outcome=outcome,
        generate_start_s=1795954245.123456,
        generate_end_s=1795954246.0,
        score_end_s=1795954247.0,
    )
    assert rollout_of(extra_fields_of(rollout)) == rollout
