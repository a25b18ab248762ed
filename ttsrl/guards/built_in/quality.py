"""One model of speech quality rises while another falls: the first is being fooled."""

from ttsrl.config.guard_rules import Condition, GuardRule

PAIRS = (("dnsmos", "distillmos"), ("distillmos", "dnsmos"))
FARTHEST = 0.2
"""Of a mean opinion score, 1 to 5."""

GUARDS = tuple(
    GuardRule(
        name=f"quality_{falling}",
        when=[
            Condition(measure=rising, rises=0.0),
            Condition(measure=falling, falls=FARTHEST),
        ],
        then="stop",
        advice=f"only {rising} likes it: give {falling} a weight, or {rising} a smaller one",
    )
    for rising, falling in PAIRS
)
