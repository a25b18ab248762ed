"""The supervisor's line about a finished step: how a log tells what steps.jsonl has in full.

A pod's log is what Kubernetes' API gives of a running job; the file is on the pod's disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

POLICY = "policy: "
"""Before the policy of a run and its commit, in a line of its own near the log's beginning."""
_LINE = re.compile(r"step (\d+)/(\d+)\s+(.*)")


@dataclass(frozen=True)
class StepLine:
    """`step 3/30  reward 0.512  CER 0.210  6.1 s/step  ETA 2:45`."""

    step: int
    """Steps finished."""
    total: int
    """Steps of the whole run."""
    note: str
    """The step's figures in words."""

    def __str__(self) -> str:
        return f"step {self.step}/{self.total}  {self.note}"

    @classmethod
    def parse(cls, line: str) -> Self | None:
        """The line as a record; None for any other line of a log."""
        found = _LINE.match(line)
        return cls(int(found[1]), int(found[2]), found[3]) if found else None

    @classmethod
    def last_of(cls, lines: Iterable[str]) -> Self | None:
        """The last such line of a log, if there is one."""
        return next(filter(None, map(cls.parse, reversed(list(lines)))), None)


def policy_of(lines: Iterable[str]) -> str:
    """`id@commit` as a log tells it; empty where it does not: the policy is a folder."""
    told = (line.removeprefix(POLICY).strip() for line in lines if line.startswith(POLICY))
    return next(told, "")
