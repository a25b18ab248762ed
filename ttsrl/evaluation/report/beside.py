"""The reward, and what independent judges heard of the checkpoints meanwhile, on one time axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from ttsrl.evaluation.report.charts import BOTTOM, LEFT, RIGHT, TOP, WIDE
from ttsrl.evaluation.report.comparison import in_points, percent
from ttsrl.evaluation.report.curves import Figure, percent_0, plain
from ttsrl.evaluation.report.inputs import RunFolder
from ttsrl.evaluation.report.svg import Scale, horizontal_grid, nice_ticks, scale, svg, text
from ttsrl.records.during import ChangeFromBase, MetricChange
from ttsrl.records.evaluation import SAMPLED
from ttsrl.records.step import TrainingStep

PANEL, GAP = 130.0, 34.0
"""Heights: of each of the two panels, and between them."""


@dataclass(frozen=True)
class WhileItTrained:
    """A sentence and its figure."""

    sentence: str
    figure: Figure


@dataclass(frozen=True)
class JudgeHeard:
    """What one judge heard: its place among the colours, and a change for each step."""

    kind: str
    judge: str
    changes: list[tuple[int, MetricChange]]

    @property
    def base(self) -> float:
        """The rate of the model before training."""
        return self.changes[0][1].before.value


def beside_training(folder: RunFolder) -> WhileItTrained | None:
    """None where no checkpoint was evaluated beside training, or no judge heard one."""
    judges = list(_judges(folder.changes))
    if not judges:
        return None
    kinds = [("s0", "reward"), *((one.kind, f"CER, {one.judge}") for one in judges)]
    note = (
        "above: reward, mean and standard deviation of a step; below: CER of sampled held-out "
        "speech; bars: 95 % interval of the difference from the base (dashed), paired by text"
    )
    steps = [step for step in folder.steps if step.reward is not None]
    chart = svg(WIDE, TOP + 2 * PANEL + GAP + BOTTOM, _words(judges), list(_parts(steps, judges)))
    figure = Figure("Reward and held-out CER", note, chart, kinds)
    return WhileItTrained(_sentence(_rests_on(folder, judges)), figure)


def heard_beside(folder: RunFolder) -> JudgeHeard | None:
    """What the judge heard on which the words rest; None where no judge heard a checkpoint."""
    judges = list(_judges(folder.changes))
    return _rests_on(folder, judges) if judges else None


def _rests_on(folder: RunFolder, judges: Sequence[JudgeHeard]) -> JudgeHeard:
    return next((one for one in judges if one.judge == folder.judge), judges[0])


def _judges(changes: Sequence[ChangeFromBase]) -> Iterator[JudgeHeard]:
    names = dict.fromkeys(name for change in changes for name in change.metrics)
    for number, metric in enumerate([name for name in names if name.startswith("cer/")], 1):
        heard = [
            (change.step, moved)
            for change in changes
            if (moved := change.metrics.get(metric, {}).get(SAMPLED)) is not None
        ]
        if heard:
            yield JudgeHeard(f"s{number % 4}", metric.removeprefix("cer/"), heard)


def _sentence(judge: JudgeHeard) -> str:
    step, best = min(judge.changes, key=lambda one: one[1].after.value)
    last, now = judge.changes[-1]
    moved = now.difference
    verb = "is lower than" if moved.high < 0 else "is higher than" if moved.low > 0 else "is near"
    return (
        f"{len(judge.changes)} checkpoints spoke the same {now.texts} texts as the base, with the "
        f"same seeds. As {judge.judge} hears it, the CER at step {last}, "
        f"{percent(now.after.value)}, {verb} the base's {percent(now.before.value)} "
        f"({in_points(moved.value)} points; 95 % interval of the difference "
        f"{in_points(moved.low)} to {in_points(moved.high)}"
        f"{'' if moved.high < 0 or moved.low > 0 else ', which holds 0'}); "
        f"the lowest was {percent(best.after.value)}, at step {step}."
    )


def _parts(steps: Sequence[TrainingStep], judges: Sequence[JudgeHeard]) -> Iterator[str]:
    last = max([*(step.step for step in steps), *(s for one in judges for s, _ in one.changes)])
    x = scale(0, last, LEFT, WIDE - RIGHT)
    yield from _reward(steps, x, TOP, TOP + PANEL)
    yield from _cers(judges, x, TOP + PANEL + GAP, TOP + 2 * PANEL + GAP)
    bottom = TOP + 2 * PANEL + GAP
    for tick in (t for t in nice_ticks(0, last, 8) if t <= last and t == int(t)):
        yield text("tick", x(tick), bottom + 18, "middle", f"{tick:.0f}")


def _reward(steps: Sequence[TrainingStep], x: Scale, top: float, bottom: float) -> Iterator[str]:
    known = [(step.step, step.reward or 0.0, step.reward_std or 0.0) for step in steps]
    ticks = nice_ticks(0.0, max((value + spread for _, value, spread in known), default=1.0), 3)
    y = scale(ticks[0], ticks[-1], bottom, top)
    yield horizontal_grid(ticks, y, LEFT, WIDE - RIGHT, plain)
    if not known:
        return
    edge = [(s, v + d) for s, v, d in known] + [(s, max(0.0, v - d)) for s, v, d in known[::-1]]
    yield f'<polygon class="band s0" points="{_path(edge, x, y)}"/>'
    yield f'<polyline class="line s0" points="{_path([(s, v) for s, v, _ in known], x, y)}"/>'


def _cers(judges: Sequence[JudgeHeard], x: Scale, top: float, bottom: float) -> Iterator[str]:
    highest = max(
        max(one.base, moved.after.value, one.base + moved.difference.high)
        for one in judges
        for _, moved in one.changes
    )
    ticks = nice_ticks(0.0, highest, 4)
    y = scale(ticks[0], ticks[-1], bottom, top)
    yield horizontal_grid(ticks, y, LEFT, WIDE - RIGHT, percent_0)
    for one in judges:
        left, right, base = LEFT, WIDE - RIGHT, y(one.base)
        yield (
            f'<line class="base {one.kind}" x1="{left:.1f}" y1="{base:.1f}" x2="{right:.1f}" '
            f'y2="{base:.1f}"><title>{escape(one.judge)}, the base: {percent(one.base)}</title>'
            "</line>"
        )
        points = [(0, one.base), *((step, moved.after.value) for step, moved in one.changes)]
        yield f'<polyline class="line {one.kind}" points="{_path(points, x, y)}"/>'
        for step, moved in one.changes:
            yield from _mark(one, step, moved, x(step), y)


def _mark(judge: JudgeHeard, step: int, moved: MetricChange, at: float, y: Scale) -> Iterator[str]:
    """A value, and the interval of its difference from the base around it."""
    low, high = (moved.before.value + end for end in (moved.difference.low, moved.difference.high))
    said = (
        f"{judge.judge}, step {step}: {percent(moved.after.value)}; difference from the base "
        f"{percent(moved.difference.value)} ({percent(moved.difference.low)} to "
        f"{percent(moved.difference.high)}), {moved.texts} texts"
    )
    yield (
        f'<line class="whisker {judge.kind}" x1="{at:.1f}" y1="{y(low):.1f}" x2="{at:.1f}" '
        f'y2="{y(high):.1f}"/><circle class="mark {judge.kind}" cx="{at:.1f}" '
        f'cy="{y(moved.after.value):.1f}" r="4"><title>{escape(said)}</title></circle>'
    )


def _path(points: Sequence[tuple[float, float]], x: Scale, y: Scale) -> str:
    return " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)


def _words(judges: Sequence[JudgeHeard]) -> str:
    said = (
        f"{one.judge}: {percent(one.base)} at the base, "
        f"{percent(one.changes[-1][1].after.value)} at step {one.changes[-1][0]}"
        for one in judges
    )
    return f"Reward and CER on held-out texts; {'; '.join(said)}"
