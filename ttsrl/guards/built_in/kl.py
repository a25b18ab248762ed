"""The policy is far from the one that it began as; known with train.kl_coefficient."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="kl",
        when=[Condition(measure="kl", above=1.0)],
        then="stop",
        advice="the policy has left its beginning far behind: raise train.kl_coefficient, or "
        "lower train.learning_rate",
    ),
)
