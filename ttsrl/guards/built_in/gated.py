"""More and more rollouts are gated."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="gated",
        when=[Condition(measure="gated_share", rises=0.2)],
        then="stop",
        advice="see gated_reasons of the last steps; lower train.learning_rate",
    ),
)
