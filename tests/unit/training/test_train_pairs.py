"""Which rollouts become pairs: the best and the worst of a group that were measured."""

from __future__ import annotations

from ttsrl.records.rollout import Rollout
from ttsrl.training.pairs import Spoken, pairs_of
from ttsrl.wire import Failed, Gated, Ok, Outcome

FAILED, GATED = Failed(kind="scorer"), Gated(reason="silence")


def ok(reward: float) -> Ok:
    return Ok(reward=reward, raw={}, utilities={}, duration_s=1.0)


def spoken(group: str, outcomes: list[Outcome]) -> list[Spoken]:
    return [
        (
            Rollout(
                group=group,
                text=f"text of {group}",
                speech_tokens=[n],
                speech_prefix=[],
                finished=True,
                outcome=outcome,
                generate_start_s=0.0,
                generate_end_s=1.0,
                score_end_s=2.0,
            ),
            [1, 2],
            [10 + n, 9],
        )
        for n, outcome in enumerate(outcomes)
    ]


def test_a_pair_is_the_best_and_the_worst_rollout_of_a_group() -> None:
    rows = [
        *spoken("a", [ok(0.4), ok(0.9), ok(0.1), FAILED]),
        *spoken("b", [ok(0.2), GATED]),
    ]
    first, second = pairs_of(7, rows)
    assert first.text == "text of a"
    assert (first.step, first.prompt_ids) == (7, [1, 2])
    assert (first.chosen_ids, first.rejected_ids) == ([11, 9], [12, 9])
    assert (first.chosen_reward, first.rejected_reward) == (0.9, 0.1)
    assert (second.chosen_ids, second.rejected_reward) == ([10, 9], 0.0)


def test_a_group_that_prefers_nothing_gives_no_pair() -> None:
    rows = [
        *spoken("same", [ok(0.5), ok(0.5)]),
        *spoken("one", [ok(0.5), FAILED]),
        *spoken("none", [FAILED, FAILED]),
        *spoken("bad", [GATED, GATED]),
    ]
    assert pairs_of(1, rows) == []
