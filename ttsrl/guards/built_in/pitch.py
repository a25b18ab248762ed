"""Speech becomes a monotone, as rewards of words alone have made it."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="pitch",
        when=[Condition(measure="pitch_spread", falls=0.25, relative=True)],
        then="stop",
        advice="the pitch moves less and less: add the component pitch_spread, or raise "
        "train.kl_coefficient",
    ),
)
