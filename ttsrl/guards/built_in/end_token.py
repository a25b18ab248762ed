"""The policy forgets to end its speech: rollouts run into the length limit."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="end_token",
        when=[Condition(measure="end_token_rate", falls=0.2)],
        then="stop",
        advice="rollouts run on without an end: lower train.learning_rate, or raise "
        "rollout.max_speech_tokens if the texts need it",
    ),
)
