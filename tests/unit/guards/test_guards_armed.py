from __future__ import annotations

import json
from typing import Any

import pytest

from support.paths import TINY
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.guards.armed import armed
from ttsrl.guards.guard import Guard
from ttsrl.guards.history import History
from ttsrl.guards.judging import findings

KIN = {"name": "small", "type": "whisper", "model": "openai/whisper-small"}
UNLIKE = {"name": "sphinx", "type": "pocketsphinx", "model": "pocketsphinx"}
UNKNOWN = {"name": "ours", "type": "ctc", "model": "nobody/knows"}
REWARDS = {"name": "rewards", "type": "whisper", "model": "whisper", "used_in_reward": True}
LARGE = "reward.whisper.model=openai/whisper-large-v3"


def run_with(*rules: dict[str, Any], **guards: Any) -> RunConfig:
    given = [f"guards.{key}={json.dumps(value)}" for key, value in guards.items()]
    return load_run(TINY / "run.json", [f"guards.rules={json.dumps(rules)}", *given])


def names(run: RunConfig) -> list[str]:
    return [guard.name for guard in armed(run).guards]


def guard_named(run: RunConfig, name: str) -> Guard:
    return next(guard for guard in armed(run).guards if guard.name == name)


def test_a_start_says_which_guards_watch_and_which_do_not() -> None:
    judges = f"eval.judges={json.dumps([UNLIKE])}"
    words = armed(load_run(TINY / "run.json", [judges])).words
    assert words.startswith("guards: end_token, rate_up")
    assert "kl (kl)" in words.partition("not logged")[2]
    assert "held_out judge the last model alone" in words
    during = load_run(TINY / "run.json", ["eval.during_training={}"])
    assert "judge the last model alone" not in armed(during).words
    with_kl = load_run(TINY / "run.json", ["train.kl_coefficient=0.01"])
    assert "kl" in names(with_kl)


def test_a_start_says_for_which_guards_the_run_is_too_short() -> None:
    window = {"measure": "cer", "rises": 0.1, "against": "window", "window": 18}
    rules = [
        {"name": "fits", "when": [{"measure": "cer", "above": 0.5}], "in_a_row": 21},
        {"name": "long", "when": [{"measure": "cer", "above": 0.5}], "in_a_row": 22},
        {"name": "wide", "when": [window], "in_a_row": 4},
    ]
    assert armed(run_with(*rules)).short == ("long", "wide")  # 24 steps, 3 of them the base
    every = armed(run_with(base_steps=24))
    assert {"gradient", "collapse"} <= set(every.short)
    assert "guards: none" in every.words
    assert "the run is too short for end_token, rate_up" in every.words
    heard = {"measure": "eval.held_out.cer", "rises": 0.1, "against": "window", "window": 3}
    rule = f"guards.rules={json.dumps([{'name': 'heard', 'when': [heard]}])}"
    for save_every, short in ((10, ("heard",)), (6, ())):
        given = ["eval.during_training={}", f"train.save_every={save_every}", rule]
        assert armed(load_run(TINY / "run.json", given)).short == short


def test_a_run_that_evaluates_its_last_model_alone_is_not_stopped_by_it() -> None:
    given = ["eval.during_training={}", "train.save_every=24"]
    assert "held_out judge the last model alone" in armed(load_run(TINY / "run.json", given)).words


def test_a_guard_on_voices_needs_a_model_that_compares_them() -> None:
    rule = {"name": "alike", "when": [{"measure": "eval.held_out.similarity", "below": 0.5}]}
    with pytest.raises(BadInput, match=r"similarity', which this run does not log"):
        armed(run_with(rule))
    rules = f"guards.rules={json.dumps([rule])}"
    run = load_run(TINY / "run.json", [rules, "eval.speaker_model=org/voices"])
    assert "alike" in names(run)


def test_a_window_that_nothing_is_compared_with_is_refused() -> None:
    rule = {"name": "a", "when": [{"measure": "cer", "rises": 0.5, "window": 3}]}
    with pytest.raises(BadInput, match="'window' belongs to against = \"window\""):
        run_with(rule)


def test_a_guard_of_ones_own_is_judged_as_the_built_in_ones_are() -> None:
    rule = {
        "name": "short",
        "when": [{"measure": "gated.too_short", "rises": 0.1, "against": "window", "window": 4}],
        "in_a_row": 2,
        "then": "stop",
    }
    guard = guard_named(run_with(rule), "short")
    history = History(base_steps=1)
    for number, count in enumerate([0, 0, 0, 0, 0, 50, 50, 50, 50, 50, 50, 50], start=1):
        history.add_step(step_with(number, gated_reasons={"too_short": count}))
    # against the four steps before the two that are judged
    assert [found.step for found in findings(guard, history)] == [7, 8, 9, 10]
    assert guard.then == "stop"


def step_with(number: int, **changes: Any) -> Any:
    from ttsrl.records.step import TrainingStep

    return TrainingStep.model_construct(step=number, rollouts=100, raw={}, utilities={}, **changes)


def test_a_built_in_guard_is_changed_and_turned_off_by_name() -> None:
    run = run_with({"name": "pitch", "then": "warn"}, {"name": "voicing", "then": "off"})
    guard = guard_named(run, "pitch")
    assert (guard.then, guard.in_a_row) == ("warn", 5)
    assert guard.when[0].measure == "pitch_spread"
    assert "voicing" not in names(run)
    assert names(run_with(built_in=False)) == []
    assert names(run_with({"name": "pitch", "in_a_row": 9}, built_in=False)) == ["pitch"]


def test_a_run_that_is_written_down_and_read_again_has_the_same_guards() -> None:
    run = run_with({"name": "mine", "when": [{"measure": "cer", "above": 0.5}]})
    assert armed(RunConfig.model_validate_json(run.model_dump_json())) == armed(run)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (
            {"name": "mine", "when": [{"measure": "dnsmoss", "above": 1}]},
            "'mine' watches 'dnsmoss', which this run does not log",
        ),
        (
            {"name": "kl", "then": "stop"},
            "'kl' watches 'kl', which this run does not log",
        ),
        ({"name": "pich", "then": "warn"}, "did you mean 'pitch'"),
        (
            {
                "name": "worse",
                "when": [{"measure": "eval.held_out.cer", "above": 1}],
                "then": "stop",
            },
            "set eval.during_training with suite = 'held_out'",
        ),
        (
            {"name": "worse", "when": [{"measure": "eval.other.cer", "above": 1}]},
            "watches 'eval.other.cer', which this run does not log",
        ),
    ],
)
def test_a_guard_that_could_never_trip_is_refused_by_name(rule: Any, said: str) -> None:
    with pytest.raises(BadInput, match=r"guards.rules") as refused:
        armed(run_with(rule))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["guards.max_rollbacks=0"], "max_rollbacks = 0 allows that never"),
        (["train.steps=20", "train.save_every=20"], "train.save_every = 20, train.steps = 20"),
        (["train.steps=20", "train.save_every=1000"], "no checkpoint before the last step"),
    ],
)
def test_a_rollback_to_nowhere_is_refused(settings: list[str], said: str) -> None:
    back = f"guards.rules={json.dumps([{'name': 'pitch', 'then': 'rollback'}])}"
    assert "pitch" in names(load_run(TINY / "run.json", [back]))
    with pytest.raises(BadInput, match="the guard 'pitch' is to set the run back") as refused:
        armed(load_run(TINY / "run.json", [back, *settings]))
    assert said in str(refused.value)
    assert 'then = "stop"' in str(refused.value)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"name": "a", "when": [{"measure": "cer"}]}, "has none; give one"),
        ({"name": "a", "when": [{"measure": "cer", "above": 1, "rises": 1}]}, "above and rises"),
        (
            {"name": "a", "when": [{"measure": "cer", "above": 1, "against": "window"}]},
            "'against' belongs to `rises` and `falls`",
        ),
        ({"name": "a", "when": []}, "guards.rules[0].when"),
        ({"name": "a", "then": "halt"}, "guards.rules[0].then"),
    ],
)
def test_a_rule_that_says_nothing_clear_is_refused(rule: Any, said: str) -> None:
    with pytest.raises(BadInput) as refused:
        run_with(rule)
    assert said in str(refused.value)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="two guards have the name 'pitch'"):
        run_with({"name": "pitch", "then": "off"}, {"name": "pitch", "then": "warn"})


def test_the_engine_is_compared_with_the_trainer_where_both_have_log_probabilities() -> None:
    def watches(*overrides: str) -> bool:
        return "rollout_kl" in names(load_run(TINY / "run.json", list(overrides)))

    assert not watches("train.device=cpu")
    # what `auto` stands for is known where training starts
    auto = load_run(TINY / "run.json", ["train.device=auto"])
    assert "rollout_kl" in armed(auto, "cpu").unarmed
    assert "rollout_kl" in [guard.name for guard in armed(auto, "cuda").guards]
    assert watches("train.device=cpu", "rollout.top_p=0.9")
    assert watches("train.device=cpu", "train.updates_per_step=2")
    assert watches("train.device=cuda")
    assert watches("train.device=cuda", "rollout.engine=vllm")
    # the actor of a GPU computes in bfloat16, and the torch engine does not
    assert watches("train.device=cuda", "rollout.engine=torch")


@pytest.mark.parametrize(
    ("judges", "during", "has_value"),
    [
        ([KIN], False, False),
        ([UNLIKE], False, False),
        ([UNKNOWN], False, False),
        ([KIN, UNLIKE], False, True),
        ([KIN, UNKNOWN], False, True),
        ([REWARDS, UNLIKE], False, True),
        ([KIN, UNLIKE], True, True),
    ],
)
def test_adaptation_is_armed_where_kin_and_an_unlike_judge_are_compared(
    judges: list[dict[str, Any]], *, during: bool, has_value: bool
) -> None:
    settings = [LARGE, f"eval.judges={json.dumps(judges)}", *["eval.during_training={}"] * during]
    found = armed(load_run(TINY / "run.json", settings))
    assert ("adaptation" in [guard.name for guard in found.guards]) is has_value
    assert ("adaptation" in found.unarmed) is not has_value


def test_a_guard_of_ones_own_on_adaptation_that_has_no_value_is_refused() -> None:
    rule = {"name": "mine", "when": [{"measure": "eval.held_out.adaptation", "above": 0.5}]}
    rules, judges = f"guards.rules={json.dumps([rule])}", f"eval.judges={json.dumps([UNLIKE])}"
    with pytest.raises(BadInput, match=r"held_out.adaptation', which this run does not log"):
        armed(load_run(TINY / "run.json", [rules, judges]))


OURS = [
    'eval.suites=[{"name": "ours", "type": "jsonl", "path": "texts.jsonl", "language": "en"}]',
    "eval.during_training.suite=ours",
]


def test_the_built_in_guards_look_at_the_suite_that_is_evaluated_beside_training() -> None:
    run = load_run(TINY / "run.json", OURS)
    assert guard_named(run, "held_out").measures == ["reward", "eval.ours.cer_change_run_low"]
    assert "judge the last model alone" not in armed(run).words
    changed = load_run(
        TINY / "run.json", [*OURS, 'guards.rules=[{"name": "held_out", "then": "rollback"}]']
    )
    assert guard_named(changed, "held_out").measures == ["reward", "eval.ours.cer_change_run_low"]


def test_a_guard_on_what_is_evaluated_after_training_alone_is_named_as_late() -> None:
    late = {"name": "late", "when": [{"measure": "eval.held_out.cer", "above": 0.5}]}
    run = load_run(TINY / "run.json", [*OURS, f"guards.rules={json.dumps([late])}"])
    assert "late judge the last model alone" in armed(run).words
    stops = f"guards.rules={json.dumps([late | {'then': 'stop'}])}"
    with pytest.raises(BadInput, match="with suite = 'held_out'"):
        armed(load_run(TINY / "run.json", [*OURS, stops]))


def test_a_guard_on_a_judge_that_does_not_listen_beside_training_may_not_stop() -> None:
    rule = {"when": [{"measure": "eval.held_out.cer.rewards", "above": 0.5}], "then": "stop"}
    settings = [
        f"eval.judges={json.dumps([REWARDS, UNLIKE])}",
        "eval.during_training={}",
        f"guards.rules={json.dumps([rule | {'name': 'mine'}])}",
    ]
    with pytest.raises(BadInput, match=r"the judges of eval.during_training \(sphinx\) do not"):
        armed(load_run(TINY / "run.json", settings))
