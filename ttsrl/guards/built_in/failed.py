"""Rollouts cannot be measured: the run costs GPUs and learns little."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="failed",
        when=[Condition(measure="failed_share", above=0.5)],
        then="stop",
        advice="see failed_kinds of the last steps, and the log of the reward service",
    ),
)
