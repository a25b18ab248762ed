"""Speech becomes a whisper or noise: the share of it that is voiced falls."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="voicing",
        when=[Condition(measure="voiced_share", falls=0.25, relative=True)],
        then="stop",
        advice="less and less of the speech is voiced: add the component voiced_share",
    ),
)
