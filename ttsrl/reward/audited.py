"""Which ways of spoiling speech a reward pays as much as clean speech, as an audit measured it."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from statistics import fmean, stdev

from ttsrl.audio.degradations import DEGRADATIONS, REVOICED
from ttsrl.reward.config import RewardConfig
from ttsrl.wire import AuditFinding, AuditReport

SOUNDS_AS_WORDS = "sounds_as_words"
COMBINED = ("another_text", "prompt_leak", "two_languages", SOUNDS_AS_WORDS)
WAYS = (*DEGRADATIONS, *REVOICED, *COMBINED)
"""Every way of spoiling that an audit knows."""
SAME = 0.01
"""Two rewards that differ by less are as much: on its scale from 0 to 1."""
STUDENT_T_95 = (6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83, 1.81)
"""One-sided 95 % quantiles for 1 to 10 degrees of freedom; the last serves for more, which errs
towards a miss."""


def is_missed(finding: AuditFinding) -> bool:
    """Whether spoiling costs nothing.

    It costs something where each spoiled recording gets less than its clean twin, by `SAME` at
    least; or where the pairs do on average, with 95 % confidence (one-sided t). Sounds without
    speech are not pairs: none may be paid.
    """
    less = [good - bad for good, bad in zip(finding.clean, finding.rewards, strict=True)]
    paired = finding.name != SOUNDS_AS_WORDS
    return min(less) < SAME and not (paired and _surely(less) >= SAME)


def missed(report: AuditReport, reward: RewardConfig, allowed: Collection[str] = ()) -> list[str]:
    """Names of the ways that are paid as much, without those that are allowed."""
    accepted = {*allowed, *accepted_by(reward)}
    return [f.name for f in report.findings if is_missed(f) and f.name not in accepted]


def accepted_by(reward: RewardConfig) -> set[str]:
    """Ways that are not bad to this reward: without the component `speaker` no voice is wrong."""
    voices = any(component.type == "speaker" for component in reward.components)
    return set() if voices else {"another_voice"}


def paid(report: AuditReport, name: str) -> str:
    """What a way of spoiling costs: `clicks (0.91 of 0.92)`."""
    found = next(f for f in report.findings if f.name == name)
    return f"{name} ({fmean(found.rewards):.2f} of {fmean(found.clean):.2f})"


def table(report: AuditReport, reward: RewardConfig, allowed: Collection[str] = ()) -> list[str]:
    """A line per way, for people."""
    refused = missed(report, reward, allowed)
    lines = [f"{'clean speech':<18}{fmean(report.clean):6.3f}  mean of {len(report.clean)}"]
    for f in report.findings:
        paid = "as much" if is_missed(f) else "less"
        if paid == "as much" and f.name not in refused:
            paid = "as much, accepted"
        gates = ", ".join(f"{gate} {count}" for gate, count in f.gates.items())
        lines.append(f"{f.name:<18}{fmean(f.rewards):6.3f}  {paid:<18}{gates}".rstrip())
    tried = {f.name for f in report.findings}
    lines += [f"{name:<18}   not tried" for name in WAYS if name not in tried]
    return lines


def _surely(differences: Sequence[float]) -> float:
    """Lower end of the mean's one-sided 95 % interval; of one difference nothing is sure."""
    n = len(differences)
    if n < 2:
        return -math.inf
    t = STUDENT_T_95[min(n - 1, len(STUDENT_T_95)) - 1]
    return fmean(differences) - t * stdev(differences) / math.sqrt(n)
