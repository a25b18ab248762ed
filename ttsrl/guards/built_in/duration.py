"""Rollouts become much shorter or longer, whatever their texts."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="duration_down",
        when=[Condition(measure="duration_s", falls=0.25, relative=True)],
        then="stop",
        advice="rollouts end early: listen to them in the report, and add cer",
    ),
    GuardRule(
        name="duration_up",
        when=[Condition(measure="duration_s", rises=0.5, relative=True)],
        then="stop",
        advice="rollouts grow long: listen to them in the report, and add the component rate",
    ),
)
