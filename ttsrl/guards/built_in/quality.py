"""One model of speech quality rises while another falls: the first is being fooled."""

from ttsrl.config.guard_rules import Condition, GuardRule

PAIRS = (("dnsmos", "distillmos"), ("distillmos", "dnsmos"))
FARTHEST = 0.2
"""Of a mean opinion score, 1 to 5."""

OF_STEPS = tuple(
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
OF_EVALUATIONS = tuple(
    GuardRule(
        name=f"held_out_{falling}",
        when=[
            Condition(measure=rising, rises=0.0),
            Condition(measure=f"eval.held_out.quality.{falling}_change_run_high", below=0.0),
        ],
        then="stop",
        advice=f"only {rising} likes it: give {falling} a weight, or {rising} a smaller one",
    )
    for rising, falling in PAIRS
)
GUARDS = OF_STEPS + OF_EVALUATIONS
