"""Charts of docs/evidence.md, each a file of its own on white."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ttsrl.evaluation.bootstrap import Estimate
from ttsrl.evaluation.report.charts import BOTTOM, LEFT, RIGHT, TOP, WIDE
from ttsrl.evaluation.report.curves import percent_0
from ttsrl.evaluation.report.svg import (
    horizontal_grid,
    nice_ticks,
    scale,
    svg,
    text,
    vertical_grid,
)

Falls = tuple[Estimate, Estimate]
"""Relative change of the CER: as the reward's judge hears it, and as an unlike one."""
HIGH = 300.0
NAMES = 130.0
"""Width for the names right of the lines."""
COLOURS = ("#0b7a75", "#b4551f", "#5b5ea6", "#8a6d1f", "#9b2d5c", "#3f7d20", "#2b6ca3")
STYLE = """<style>
text{font-family:sans-serif;fill:#5c666d;font-size:11px}.grid{stroke:#e2dfd9}
polyline{fill:none;stroke-width:1.6}.equal{stroke:#5c666d;stroke-dasharray:5 4}
.whisker{stroke-width:3;opacity:.4}rect{fill:#fff}
</style>"""


def steps(curves: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    """CER of the rollouts, as the reward hears it, by step: the mean of each 5 steps."""
    means = {name: smoothed for name, c in curves.items() if (smoothed := _means(c))}
    last = max(x for curve in means.values() for x, _ in curve)
    right, bottom = WIDE - NAMES, TOP + HIGH
    x = scale(0, last, LEFT, right)
    ticks = nice_ticks(0.0, max(y for curve in means.values() for _, y in curve), 5)
    y = scale(ticks[0], ticks[-1], bottom, TOP)
    parts = [horizontal_grid(ticks, y, LEFT, right, percent_0)]
    parts.append(vertical_grid(nice_ticks(0, last, 6), x, TOP, bottom, lambda v: f"{v:.0f}"))
    ends = _apart({name: y(curve[-1][1]) for name, curve in means.items()})
    for number, (name, curve) in enumerate(means.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in curve)
        parts.append(f'<polyline stroke="{colour}" points="{points}"/>')
        at = x(curve[-1][0]) + 6
        parts.append(text("", at, ends[name] + 4, "start", name))
    return _alone("CER of rollouts by step", bottom, parts)


def falls(rows: Mapping[str, Falls]) -> str:
    """What the reward's judge hears against what an unlike one does; on the line both agree."""
    lowest = min(min(kin.low, unlike.low) for kin, unlike in rows.values())
    highest = max(0.0, max(max(kin.high, unlike.high) for kin, unlike in rows.values()))
    ticks = nice_ticks(lowest, highest, 5)
    right, bottom = WIDE - RIGHT, TOP + HIGH
    x, y = scale(ticks[0], ticks[-1], LEFT, right), scale(ticks[0], ticks[-1], bottom, TOP)
    parts = [
        horizontal_grid(ticks, y, LEFT, right, percent_0),
        vertical_grid(ticks, x, TOP, bottom, percent_0),
        f'<line class="equal" x1="{LEFT:.1f}" y1="{bottom:.1f}" x2="{right:.1f}" y2="{TOP:.1f}"/>',
    ]
    for number, (name, (kin, unlike)) in enumerate(rows.items()):
        colour = COLOURS[number % len(COLOURS)]
        at = x(kin.value)
        parts.append(
            f'<line class="whisker" stroke="{colour}" x1="{at:.1f}" y1="{y(unlike.low):.1f}" '
            f'x2="{at:.1f}" y2="{y(unlike.high):.1f}"/><circle fill="{colour}" cx="{at:.1f}" '
            f'cy="{y(unlike.value):.1f}" r="4"><title>{escape(name)}</title></circle>'
        )
        parts.append(text("", at + 7, y(unlike.value) + 4, "start", name))
    words = "Relative change of the CER: reward's judge (across) and an unlike judge (up)"
    return _alone(words, bottom, parts)


def _means(curve: Sequence[tuple[int, float]], size: int = 5) -> list[tuple[float, float]]:
    parts = [curve[i : i + size] for i in range(0, len(curve), size)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def _apart(places: Mapping[str, float], least: float = 13.0) -> dict[str, float]:
    """Places of labels, moved down until none covers another."""
    moved: dict[str, float] = {}
    for name, at in sorted(places.items(), key=lambda one: one[1]):
        moved[name] = max([at, *(other + least for other in moved.values())])
    return moved


def _alone(words: str, bottom: float, parts: Sequence[str]) -> str:
    height = bottom + BOTTOM
    paper = f'<rect width="{WIDE:g}" height="{height:g}"/>'
    chart = str(svg(WIDE, height, words, [STYLE, paper, *parts]))
    return chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"
