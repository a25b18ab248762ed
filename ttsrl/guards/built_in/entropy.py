"""The policy becomes certain of everything, or of nothing."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="entropy_down",
        when=[Condition(measure="entropy", falls=0.9, relative=True)],
        then="stop",
        advice="the policy has stopped exploring: raise train.entropy_coefficient or "
        "rollout.temperature",
    ),
    GuardRule(
        name="entropy_up",
        when=[Condition(measure="entropy", rises=1.0, relative=True)],
        then="stop",
        advice="the policy becomes random: lower train.learning_rate or train.entropy_coefficient",
    ),
)
