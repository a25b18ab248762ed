"""The text becomes likelier to the reward's recogniser, and its words no better heard."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="likelihood",
        when=[
            Condition(measure="nll", falls=0.1, relative=True),
            Condition(measure="cer", rises=0.0),
        ],
        then="stop",
        advice="only the likelihood rises, not what is understood: give cer a larger weight",
    ),
)
