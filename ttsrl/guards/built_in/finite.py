"""A gradient or a loss that is not a number."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="gradient",
        when=[Condition(measure="grad_norm", not_finite=True)],
        in_a_row=1,
        then="stop",
        advice="lower train.learning_rate, or train in float32",
    ),
    GuardRule(
        name="loss",
        when=[Condition(measure="policy_loss", not_finite=True)],
        in_a_row=1,
        then="stop",
        advice="lower train.learning_rate, or train in float32",
    ),
)
