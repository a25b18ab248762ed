"""Rollouts of a group become copies of each other: there is nothing left to compare."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="collapse",
        when=[Condition(measure="distinct_share", falls=0.6, relative=True)],
        then="stop",
        advice="rollouts repeat each other: raise rollout.temperature or "
        "train.entropy_coefficient, or lower train.learning_rate",
    ),
)
