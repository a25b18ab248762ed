"""A guard that is on: a rule with nothing left open."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Literal

from ttsrl.config.guard_rules import Condition, GuardRule

Action = Literal["warn", "stop", "rollback"]

STEPS_IN_A_ROW = 5
EVALUATIONS_IN_A_ROW = 1


@dataclass(frozen=True)
class Guard:
    """See `ttsrl.config.guard_rules.GuardRule`."""

    name: str
    when: tuple[Condition, ...]
    in_a_row: int
    then: Action
    advice: str = ""

    @classmethod
    def of(cls, rule: GuardRule) -> Guard | None:
        """The guard that a rule with conditions describes; None where it is off."""
        if rule.then == "off" or rule.when is None:
            return None
        of_evaluation = any(condition.of_evaluation for condition in rule.when)
        usual = EVALUATIONS_IN_A_ROW if of_evaluation else STEPS_IN_A_ROW
        return cls(
            rule.name,
            tuple(rule.when),
            rule.in_a_row or usual,
            rule.then or "warn",
            rule.advice or "",
        )

    @property
    def of_evaluation(self) -> bool:
        """Whether it looks at each evaluation, not at each step."""
        return any(condition.of_evaluation for condition in self.when)

    @property
    def takes(self) -> int:
        """How many steps or evaluations it looks at: those that it judges, and its window."""
        windows = [condition.window for condition in self.when if condition.against == "window"]
        return self.in_a_row + max(windows, default=0)

    @property
    def digest(self) -> str:
        """Names what it watches, from where on, and what happens."""
        when = [condition.model_dump() for condition in self.when]
        text = json.dumps([when, self.in_a_row, self.then], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def measures(self) -> list[str]:
        """What it watches."""
        return [condition.measure for condition in self.when]
