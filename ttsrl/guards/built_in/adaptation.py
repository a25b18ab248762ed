"""Most of the gain is heard only by recognisers that are kin to the reward's."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="adaptation",
        when=[Condition(measure="eval.held_out.adaptation_run_low", above=0.25)],
        then="warn",
        advice="a judge of another family hears much less of the gain: add a recogniser of another "
        "family to the reward, and trust that judge",
    ),
)
