"""What the charts are made of: scales, ticks, grid lines, the SVG element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from markupsafe import Markup

Number = Callable[[float], str]
"""Writes a value with its unit."""

Scale = Callable[[float], float]
"""Value -> position in the drawing."""


def svg(width: float, height: float, label: str, parts: Sequence[str]) -> Markup:
    """An SVG that fills its column; `label` says in words what it shows."""
    return Markup(
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def text(kind: str, x: float, y: float, anchor: str, words: str) -> str:
    """A text of the class `kind`, anchored at its start, middle or end."""
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(words)}</text>'


def grid_line(x1: float, y1: float, x2: float, y2: float) -> str:
    """A line behind the data."""
    return f'<line class="grid" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def vertical_grid(ticks: Sequence[float], x: Scale, top: float, bottom: float, n: Number) -> str:
    """Grid lines and numbers of a horizontal axis; the numbers stand below `bottom`."""
    return "".join(
        grid_line(x(t), top, x(t), bottom) + text("tick", x(t), bottom + 18, "middle", n(t))
        for t in ticks
    )


def horizontal_grid(ticks: Sequence[float], y: Scale, left: float, right: float, n: Number) -> str:
    """Grid lines and numbers of a vertical axis; the numbers stand left of `left`."""
    return "".join(
        grid_line(left, y(t), right, y(t)) + text("tick", left - 6, y(t) + 3.5, "end", n(t))
        for t in ticks
    )


def scale(low: float, high: float, start: float, end: float) -> Scale:
    """Linear from [low, high] to [start, end]; the middle where low equals high."""
    if high == low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) / (high - low) * (end - start)


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers around [low, high], spaced 1, 2 or 5 times a power of 10."""
    if high - low < 1e-12:
        high = low + (abs(low) or 1.0)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    spacing = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    first, last = math.floor(low / spacing + 1e-9), math.ceil(high / spacing - 1e-9)
    return [round(i * spacing, 12) for i in range(first, last + 1)]
