"""Reward above, held-out CER below, of a run with guards and one without, on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from markupsafe import Markup

from examples.hack.sides import LIMIT, Side
from ttsrl.evaluation.report.charts import BOTTOM, LEFT, RIGHT, TOP, WIDE
from ttsrl.evaluation.report.comparison import percent
from ttsrl.evaluation.report.curves import percent_0, plain
from ttsrl.evaluation.report.svg import Scale, horizontal_grid, nice_ticks, scale, svg, text

PANEL, GAP = 130.0, 34.0
"""Heights: of each of the two panels, and between them."""
HEAD = 20.0
"""Height for the labels of a chart that stands alone."""
STANDALONE = """<style>
text{font-family:sans-serif;fill:#5c666d;font-size:11px}.grid{stroke:#e2dfd9}.line{fill:none;
stroke-width:1.8}.s0{stroke:#0b7a75}.s1{stroke:#b4551f}circle.s0{fill:#0b7a75}circle.s1{fill:#b4551f}
.base{stroke:#5c666d;stroke-dasharray:5 4}.whisker{stroke-width:3;opacity:.45}
.stop{stroke:#0b7a75;stroke-dasharray:2 3}rect{fill:#fff}
</style>"""


def both(sides: Sequence[Side]) -> Markup:
    """The chart of a trick; its classes are those of the report's page."""
    return svg(WIDE, TOP + 2 * PANEL + GAP + BOTTOM, _words(sides), list(_parts(sides)))


def alone(sides: Sequence[Side]) -> str:
    """The same as a file of its own, on white, with its colours and its labels in it."""
    height = TOP + 2 * PANEL + GAP + BOTTOM
    labels = [
        text("", LEFT, TOP - 8, "start", "reward of training"),
        text("", LEFT, TOP + PANEL + GAP - 8, "start", "CER on held-out texts"),
        *(_key(number, side, TOP - 8) for number, side in enumerate(sides)),
    ]
    paper = f'<rect y="{-HEAD:g}" width="{WIDE:g}" height="{height + HEAD:g}"/>'
    chart = str(svg(WIDE, height, _words(sides), [STANDALONE, paper, *labels, *_parts(sides)]))
    box = f'viewBox="0 {-HEAD:g} {WIDE:g} {height + HEAD:g}"'
    chart = chart.replace(f'viewBox="0 0 {WIDE:g} {height:g}"', box, 1)
    return chart.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _key(number: int, side: Side, y: float) -> str:
    x = WIDE - RIGHT - 280 + 140.0 * number
    line = f'<line class="line s{number}" x1="{x}" y1="{y - 4}" x2="{x + 24}" y2="{y - 4}"/>'
    return line + text("", x + 30, y, "start", side.name)


def _parts(sides: Sequence[Side]) -> Iterator[str]:
    last = max(step.step for side in sides for step in side.steps)
    x = scale(0, last, LEFT, WIDE - RIGHT)
    bottom = TOP + 2 * PANEL + GAP
    yield from _rewards(sides, x, TOP, TOP + PANEL)
    yield from _cers(sides, x, TOP + PANEL + GAP, bottom)
    for number, side in enumerate(sides):
        if side.stopped is not None:
            yield _stop(number, side, x(side.steps[-1].step), bottom)
    for tick in (t for t in nice_ticks(0, last, 8) if t <= last and t == int(t)):
        yield text("tick", x(tick), bottom + 18, "middle", f"{tick:.0f}")


def _rewards(sides: Sequence[Side], x: Scale, top: float, bottom: float) -> Iterator[str]:
    known = [[(s.step, s.reward) for s in side.steps if s.reward is not None] for side in sides]
    ticks = nice_ticks(0.0, max(value for one in known for _, value in one), 3)
    y = scale(ticks[0], ticks[-1], bottom, top)
    yield horizontal_grid(ticks, y, LEFT, WIDE - RIGHT, plain)
    for number in reversed(range(len(known))):
        yield f'<polyline class="line s{number}" points="{_path(known[number], x, y)}"/>'


def _cers(sides: Sequence[Side], x: Scale, top: float, bottom: float) -> Iterator[str]:
    base = sides[0].end.before.value
    highest = max(
        max(base + LIMIT, base + moved.difference.high) for side in sides for _, moved in side.heard
    )
    ticks = nice_ticks(0.0, highest, 4)
    y = scale(ticks[0], ticks[-1], bottom, top)
    yield horizontal_grid(ticks, y, LEFT, WIDE - RIGHT, percent_0)
    for value, words in ((base, "the base"), (base + LIMIT, "10 points worse than the base")):
        yield (
            f'<line class="base" x1="{LEFT:.1f}" y1="{y(value):.1f}" x2="{WIDE - RIGHT:.1f}" '
            f'y2="{y(value):.1f}"><title>{words}: {percent(value)}</title></line>'
        )
    for number in reversed(range(len(sides))):
        points = [(0, base), *((step, moved.after.value) for step, moved in sides[number].heard)]
        yield f'<polyline class="line s{number}" points="{_path(points, x, y)}"/>'
        for step, moved in sides[number].heard:
            low, high = (base + end for end in (moved.difference.low, moved.difference.high))
            said = f"{sides[number].name}, step {step}: {percent(moved.after.value)}"
            yield (
                f'<line class="whisker s{number}" x1="{x(step):.1f}" y1="{y(low):.1f}" '
                f'x2="{x(step):.1f}" y2="{y(high):.1f}"/><circle class="mark s{number}" '
                f'cx="{x(step):.1f}" cy="{y(moved.after.value):.1f}" r="3.5">'
                f"<title>{escape(said)}</title></circle>"
            )


def _stop(number: int, side: Side, at: float, bottom: float) -> str:
    assert side.stopped is not None, "asked only of such"
    shift, anchor = (5, "start") if at < WIDE / 2 else (-5, "end")
    words = f"{side.stopped.guard} stops it"
    return (
        f'<line class="stop s{number}" x1="{at:.1f}" y1="{TOP:.1f}" x2="{at:.1f}" '
        f'y2="{bottom:.1f}"/>' + text("label", at + shift, TOP + PANEL + GAP / 2 + 4, anchor, words)
    )


def _path(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)


def _words(sides: Sequence[Side]) -> str:
    ends = (f"{one.name} {percent(one.end.after.value)}" for one in sides)
    base = percent(sides[0].end.before.value)
    return f"Reward and CER on held-out texts: {base} before training, at the end {', '.join(ends)}"
