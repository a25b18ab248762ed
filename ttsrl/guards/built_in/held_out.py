"""The reward rises, and the held-out texts are understood worse, beyond what chance does in a
whole run."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="held_out",
        when=[
            Condition(measure="reward", rises=0.0),
            Condition(measure="eval.held_out.cer_change_run_low", above=0.0),
        ],
        then="stop",
        advice="the reward is being fooled: `ttsrl audit` tells by what",
    ),
)
