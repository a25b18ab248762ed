"""The engine that samples and the trainer disagree about what was said."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="rollout_kl",
        when=[Condition(measure="rollout_kl", rises=0.1)],
        then="warn",
        advice="the updates are of another policy than the one that speaks: set "
        'train.rollout_correction to "token", and rollout.quantization back if it is set',
    ),
)
"""In nats per token, from the base on: what top_p cuts away is in the base already."""
