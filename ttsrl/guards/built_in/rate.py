"""Speech becomes hurried or cut short, or it drags: characters per second."""

from ttsrl.config.guard_rules import Condition, GuardRule

GUARDS = (
    GuardRule(
        name="rate_up",
        when=[Condition(measure="chars_per_s", rises=0.2, relative=True)],
        then="stop",
        advice="speech is cut short or hurried: add cer, or give the component rate a range",
    ),
    GuardRule(
        name="rate_down",
        when=[Condition(measure="chars_per_s", falls=0.25, relative=True)],
        then="stop",
        advice="speech drags, or is followed by sound that says nothing: add the component rate, "
        "or a lower gates.max_s_per_char",
    ),
)
