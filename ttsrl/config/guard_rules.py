"""A guard as a run writes it down: what it watches, and what happens."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ttsrl.base import Strict

LIMITS = ("above", "below", "rises", "falls", "not_finite")
COMPARED = ("against", "relative", "window")


class Condition(Strict):
    """One measure of a run's log, and from where on it is bad: exactly one limit."""

    measure: str
    """A number of steps.jsonl, such as `cer`, `utility_cer`, `kl`, `gated.too_short`, or of an
    evaluation, such as `eval.held_out.cer`; docs/guards.md has them all."""
    above: float | None = None
    """Bad where it is larger than this."""
    below: float | None = None
    """Bad where it is smaller than this."""
    rises: float | None = Field(default=None, ge=0)
    """Bad where it is larger than before, by more than this."""
    falls: float | None = Field(default=None, ge=0)
    """Bad where it is smaller than before, by more than this."""
    not_finite: bool = False
    """Bad where it is NaN or infinite."""
    against: Literal["base", "window"] = "base"
    """What `rises` and `falls` compare with. base: the first `guards.base_steps` steps, and of an
    evaluation that of the policy before training. window: the `window` steps or evaluations before
    those that are judged."""
    relative: bool = False
    """`rises` and `falls` are shares of what is compared with: 0.25 is 25 %."""
    window: int = Field(default=20, ge=1)
    """Steps or evaluations, with against = "window"."""

    @property
    def of_evaluation(self) -> bool:
        """Whether an evaluation tells it, not a step."""
        return self.measure.startswith("eval.")

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        given = [n for n in LIMITS if (v := getattr(self, n)) is not None and v is not False]
        if len(given) != 1:
            raise ValueError(
                f"a condition has one of {', '.join(LIMITS)}, and the one on {self.measure!r} has "
                f"{' and '.join(given) or 'none'}; give one"
            )
        fields = type(self).model_fields
        unused = [name for name in COMPARED if getattr(self, name) != fields[name].default]
        if unused and given[0] not in ("rises", "falls"):
            raise ValueError(
                f"{unused[0]!r} belongs to `rises` and `falls`, and the condition on "
                f"{self.measure!r} has `{given[0]}`; leave it out"
            )
        if "window" in unused and self.against != "window":
            raise ValueError(
                f"'window' belongs to against = \"window\", and the condition on {self.measure!r} "
                "compares with the base; give it that, or leave `window` out"
            )
        return self


class GuardRule(Strict):
    """A guard of one's own; or, by the name of a built-in one, what of that is to differ."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    """What logs, metrics and the report call it."""
    when: list[Condition] | None = Field(default=None, min_length=1)
    """Bad where all of these hold together; a built-in guard has its own."""
    in_a_row: int | None = Field(default=None, ge=1)
    """Steps in a row in which it has to be bad, or evaluations where `when` has one; null: 5 steps,
    1 evaluation, or what the built-in guard has."""
    then: Literal["warn", "stop", "rollback", "off"] | None = None
    """warn: it is said. stop: a checkpoint is published and the run ends with exit code 3.
    rollback: the run goes on from the best checkpoint before. off: the guard is not there. Null:
    warn, or what the built-in guard has."""
    advice: str | None = None
    """What to do about it: the end of the line that tells of it."""
