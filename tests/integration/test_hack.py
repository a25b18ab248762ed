"""A reward that is fooled, trained for real: guards stop the run, and without them it gets worse.

One of the three pairs of runs of `make hack`, the quickest to show it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from examples.hack.run import train
from examples.hack.sides import GUARDED, LIMIT, SIDES, read_sides
from examples.hack.tricks import TRICKS

STEPS = 45
"""Enough for speech that is much worse, and some minutes on two cores."""

pytestmark = [pytest.mark.covered, pytest.mark.timeout(5400)]


def test_a_run_paid_for_its_speed_is_stopped_by_a_guard_and_gets_worse_without(
    tmp_path: Path,
) -> None:
    trick = replace(next(trick for trick in TRICKS if trick.name == "rate"), steps=STEPS)
    for side in SIDES:
        train(trick, tmp_path / trick.name / side, guarded=side == GUARDED)
    guarded, unguarded = read_sides(trick, tmp_path)
    assert guarded.stopped is not None, guarded.verdict
    assert guarded.stopped.guard == "held_out"
    assert guarded.was_stopped_in_time, guarded.verdict
    assert guarded.steps[-1].step < STEPS
    assert unguarded.stopped is None
    assert unguarded.steps[-1].step == STEPS
    assert unguarded.end.difference.low > LIMIT, unguarded.verdict
    # the reward alone would call that run a success
    first, last = (unguarded.steps[at].reward or 0.0 for at in (0, -1))
    assert last > first
