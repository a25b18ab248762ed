"""Charts as inline SVG: drawn here, so that the page needs no script and no network.

Colours come from the page's style sheet by class, so that they follow its light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from ttsrl.evaluation.report.svg import (
    Number,
    Scale,
    horizontal_grid,
    nice_ticks,
    scale,
    svg,
    text,
    vertical_grid,
)

MAX_POINTS = 240
"""A longer run is drawn as means of neighbouring steps."""

NARROW, WIDE, HEIGHT = 350.0, 1080.0, 190.0
LEFT, RIGHT, TOP, BOTTOM = 46.0, 10.0, 10.0, 26.0


@dataclass(frozen=True)
class Series:
    """One line: one value per step, None where a step has none."""

    label: str
    values: Sequence[float | None]
    spread: Sequence[float | None] | None = None
    """Standard deviation per step, drawn as a band."""


@dataclass(frozen=True)
class Mark:
    """A value with its interval; `kind` is its CSS class."""

    kind: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bar:
    """One bar of a time-line, in seconds; `kind` is its CSS class."""

    lane: str
    name: str
    kind: str
    start: float
    end: float


def line_chart(
    title: str, steps: Sequence[int], series: Sequence[Series], number: Number
) -> Markup:
    """Lines over the steps on an axis from 0; every point has its value as a tooltip."""
    steps, series = _binned(steps, series)
    heights = [v for s in series for v in s.values if v is not None]
    heights += [v + sign * d for s in series for _, v, d in _band(steps, s) for sign in (-1, 1)]
    ticks = nice_ticks(min(0.0, *heights), max(heights))
    x = scale(steps[0], steps[-1], LEFT, NARROW - RIGHT)
    y = scale(ticks[0], ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [horizontal_grid(ticks, y, LEFT, NARROW - RIGHT, number), _step_labels(steps, x)]
    for k, one in enumerate(series):
        points = [(s, v) for s, v in zip(steps, one.values, strict=True) if v is not None]
        if band := _band(steps, one):
            edge = [(s, v + d) for s, v, d in band] + [(s, v - d) for s, v, d in reversed(band)]
            parts.append(f'<polygon class="band s{k}" points="{_path(edge, x, y)}"/>')
        parts.append(f'<polyline class="line s{k}" points="{_path(points, x, y)}"/>')
        parts += [
            f'<circle class="point s{k}" cx="{x(s):.1f}" cy="{y(v):.1f}" r="2.2">'
            f"<title>{escape(one.label)}, step {s}: {number(v)}</title></circle>"
            for s, v in points
        ]
    return svg(NARROW, HEIGHT, f"{title}: {_ends(series, steps, number)}", parts)


def interval_chart(rows: Sequence[tuple[str, Sequence[Mark]]], number: Number) -> Markup:
    """Values with their intervals on one axis from 0: rows of (label, marks)."""
    left, row_height = 210.0, 44.0
    bottom = TOP + row_height * len(rows)
    ticks = nice_ticks(0.0, max(mark.high for _, marks in rows for mark in marks), 6)
    x = scale(ticks[0], ticks[-1], left, WIDE - 24)
    parts = [vertical_grid(ticks, x, TOP, bottom, number)]
    for r, (label, marks) in enumerate(rows):
        middle = TOP + row_height * (r + 0.5)
        parts.append(text("label", left - 14, middle + 4, "end", label))
        for m, mark in enumerate(marks):
            y = middle + (m - (len(marks) - 1) / 2) * 15
            parts.append(
                f'<line class="whisker {mark.kind}" x1="{x(mark.low):.1f}" y1="{y:.1f}" '
                f'x2="{x(mark.high):.1f}" y2="{y:.1f}"/>'
                f'<circle class="mark {mark.kind}" cx="{x(mark.value):.1f}" cy="{y:.1f}" r="5">'
                f"<title>{escape(label)}, {mark.kind}: {number(mark.value)} "
                f"({number(mark.low)} to {number(mark.high)})</title></circle>"
            )
    summary = "; ".join(
        f"{label}: " + ", ".join(f"{mark.kind} {number(mark.value)}" for mark in marks)
        for label, marks in rows
    )
    return svg(WIDE, bottom + BOTTOM, summary, parts)


def stacked_bars(
    title: str,
    steps: Sequence[int],
    values_by_name: Mapping[str, Sequence[float | None]],
    kind_by_name: Mapping[str, str],
    number: Number,
) -> Markup:
    """One bar per step, its parts stacked in the order of the names."""
    steps, series = _binned(steps, [Series(n, values) for n, values in values_by_name.items()])
    totals = [sum(one.values[i] or 0.0 for one in series) for i in range(len(steps))]
    ticks = nice_ticks(0.0, max(totals))
    slot = (WIDE - LEFT - RIGHT) / len(steps)
    middle = {step: LEFT + (i + 0.5) * slot for i, step in enumerate(steps)}
    y = scale(0.0, ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [
        horizontal_grid(ticks, y, LEFT, WIDE - RIGHT, number),
        _step_labels(steps, lambda step: middle[int(step)]),
    ]
    for i, step in enumerate(steps):
        base = 0.0
        for one in series:
            top = base + (one.values[i] or 0.0)
            if top > base:
                parts.append(
                    f'<rect class="{kind_by_name[one.label]}" x="{middle[step] - slot * 0.4:.1f}" '
                    f'y="{y(top):.1f}" width="{slot * 0.8:.1f}" height="{y(base) - y(top):.1f}">'
                    f"<title>step {step}, {escape(one.label)}: {number(top - base)}</title></rect>"
                )
            base = top
    return svg(WIDE, HEIGHT, f"{title}: {_ends([Series('total', totals)], steps, number)}", parts)


def timeline(title: str, lanes: Sequence[str], bars: Sequence[Bar], number: Number) -> Markup:
    """Bars on a common time axis, one row a lane; a bar that is wide enough carries its name."""
    left, row_height = 76.0, 30.0
    bottom = TOP + row_height * len(lanes)
    ticks = nice_ticks(0.0, max(bar.end for bar in bars), 7)
    x = scale(0.0, ticks[-1], left, WIDE - 24)
    parts = [vertical_grid(ticks, x, TOP, bottom, number)]
    parts += [
        text("label", left - 10, TOP + row_height * r + 19, "end", lane)
        for r, lane in enumerate(lanes)
    ]
    for bar in bars:
        y = TOP + row_height * lanes.index(bar.lane)
        wide = x(bar.end) - x(bar.start)
        parts.append(
            f'<rect class="{bar.kind}" x="{x(bar.start):.1f}" y="{y + 4:.1f}" rx="2" '
            f'width="{max(wide, 1):.1f}" height="{row_height - 8}"><title>{escape(bar.name)}: '
            f"{number(bar.end - bar.start)}, from {number(bar.start)} to {number(bar.end)}"
            "</title></rect>"
        )
        if wide > 7 * len(bar.name) + 8:
            parts.append(text("on-bar", x(bar.start) + 6, y + 19, "start", bar.name))
    return svg(WIDE, bottom + BOTTOM, title, parts)


def _binned(steps: Sequence[int], series: Sequence[Series]) -> tuple[list[int], list[Series]]:
    """At most MAX_POINTS steps: means of equally many neighbours, named by the last of them."""
    size = math.ceil(len(steps) / MAX_POINTS)

    def means(values: Sequence[float | None]) -> list[float | None]:
        chunks = [values[i : i + size] for i in range(0, len(values), size)]
        known = [[v for v in chunk if v is not None] for chunk in chunks]
        return [sum(k) / len(k) if k else None for k in known]

    ends = [steps[min(i + size, len(steps)) - 1] for i in range(0, len(steps), size)]
    return ends, [
        Series(s.label, means(s.values), means(s.spread) if s.spread else None) for s in series
    ]


def _band(steps: Sequence[int], series: Series) -> list[tuple[int, float, float]]:
    """(step, value, spread) where both are known."""
    return [
        (s, v, d)
        for s, v, d in zip(steps, series.values, series.spread or [None] * len(steps), strict=True)
        if v is not None and d is not None
    ]


def _path(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)


def _step_labels(steps: Sequence[int], x: Scale) -> str:
    marked = sorted({steps[0], steps[len(steps) // 2], steps[-1]})
    return "".join(text("tick", x(s), HEIGHT - 8, "middle", str(s)) for s in marked)


def _ends(series: Sequence[Series], steps: Sequence[int], number: Number) -> str:
    said: list[str] = []
    for one in series:
        known = [(s, v) for s, v in zip(steps, one.values, strict=True) if v is not None]
        (first, a), (last, b) = known[0], known[-1]
        said.append(f"{one.label} {number(a)} at step {first}, {number(b)} at step {last}")
    return "; ".join(said)
