"""Which charts are drawn of steps.jsonl and timeline.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from ttsrl.evaluation.report.charts import Bar, Series, line_chart, stacked_bars, timeline
from ttsrl.evaluation.report.comparison import percent
from ttsrl.evaluation.report.inputs import Json, RunFolder
from ttsrl.evaluation.report.svg import Number

STAGES = (
    "generate",
    "wait_for_scores",
    "old_log_prob",
    "reference_log_prob",
    "advantage",
    "update",
    "save",
    "sync_weights",
    "score",
)
"""In the order of a step; the n-th has the n-th fill colour. `score` runs beside `generate`."""

LANES = ("generate", "score", "train")


@dataclass(frozen=True)
class Figure:
    """A chart with its caption."""

    title: str
    note: str
    chart: Markup
    keys: Sequence[tuple[str, str]]
    """CSS class and label of each line or colour, where there are several."""


@dataclass(frozen=True)
class Curve:
    """What to draw: lines of (key in steps.jsonl, label)."""

    title: str
    note: str
    lines: Sequence[tuple[str, str]]
    number: Number


@dataclass(frozen=True)
class StepTime:
    """How a step's time was used."""

    sentence: str
    stages: Figure | None
    timelines: list[Figure]


def training_curves(folder: RunFolder) -> list[Figure]:
    """Reward, each component, length, gates and the optimiser over the steps."""
    components = [component.type for component in folder.run.reward.components]
    curves = [
        Curve("Reward", "mean and standard deviation of a step", [("reward", "reward")], _plain),
        *(_RAW.get(name, Curve(name, "raw score", [(name, name)], _plain)) for name in components),
        Curve(
            "Utilities",
            "what the reward is composed of; 1 is best",
            [(f"utility_{name}", name.upper()) for name in components],
            _plain,
        ),
        Curve("Response length", "speech tokens", [("length_tokens", "tokens")], _plain),
        Curve("Duration", "seconds", [("duration_s", "duration")], _plain),
        Curve("End-token rate", "", [("end_token_rate", "ended")], percent_0),
        Curve(
            "Gated and failed",
            _reasons(folder.steps),
            [("gated_share", "gated"), ("failed_share", "failed")],
            percent,
        ),
        Curve("Distinct rollouts", "", [("distinct_share", "distinct")], percent_0),
        Curve("Entropy", "nats per token", [("entropy", "entropy")], _plain),
        Curve("Gradient norm", "before clipping", [("grad_norm", "norm")], _plain),
        Curve("Learning rate", "", [("learning_rate", "rate")], _plain),
        Curve("KL", "to the reference policy, nats per token", [("kl", "KL")], _plain),
    ]
    figures = [_figure(folder.steps, curve) for curve in curves]
    return [figure for figure in figures if figure]


def step_time(folder: RunFolder) -> StepTime | None:
    """Where the time of the steps went; None where the trainer wrote none down."""
    timed = [step for step in folder.steps if step.get("seconds_by_stage")]
    if not timed:
        return None
    names = [name for name in STAGES if any(name in s["seconds_by_stage"] for s in timed)]
    stages = Figure(
        "Seconds of each step by stage",
        "",
        stacked_bars(
            "Seconds per step",
            [step["step"] for step in timed],
            {_words(n): [s["seconds_by_stage"].get(n) for s in timed] for n in names},
            {_words(name): fill_of(name) for name in names},
            _plain,
        ),
        [(fill_of(name), _words(name)) for name in names],
    )
    mean = fmean(step["seconds"] for step in timed)
    shares = {name: fmean(s["seconds_by_stage"].get(name, 0.0) for s in timed) for name in names}
    sentence = f"A step took {mean:.1f} s: " + ", ".join(
        f"{seconds:.2f} s {_words(name)}" for name, seconds in shares.items()
    )
    return StepTime(sentence + "." + _overlap(folder.timeline), stages, _timelines(folder))


def fill_of(stage: str) -> str:
    """CSS class of a stage's colour."""
    return f"f{STAGES.index(stage)}" if stage in STAGES else "f-other"


def percent_0(value: float) -> str:
    """A ratio in whole percent."""
    return percent(value, 0)


def _figure(steps: Sequence[Json], curve: Curve) -> Figure | None:
    """None where no step has a value."""
    series = [
        Series(
            label,
            [step.get(key) for step in steps],
            [step.get("reward_std") for step in steps] if key == "reward" else None,
        )
        for key, label in curve.lines
        if any(step.get(key) is not None for step in steps)
    ]
    if not series:
        return None
    chart = line_chart(curve.title, [step["step"] for step in steps], series, curve.number)
    keys = [(f"s{k}", one.label) for k, one in enumerate(series)] if len(series) > 1 else []
    return Figure(curve.title, curve.note, chart, keys)


def _reasons(steps: Sequence[Json]) -> str:
    """How often each gate closed and each kind of measurement failed, over all steps."""

    def counted(key: str) -> str:
        counts: Counter[str] = Counter()
        for step in steps:
            counts.update(step.get(key) or {})
        return ", ".join(f"{n} {_words(name)}" for name, n in counts.most_common()) or "none"

    return f"no speech ({counted('gated_reasons')}) or no score ({counted('failed_kinds')})"


def _timelines(folder: RunFolder) -> list[Figure]:
    """The first, the middle and the last step, as bars."""
    steps = sorted({event["step"] for event in folder.timeline})
    figures: list[Figure] = []
    for step in sorted({steps[0], steps[len(steps) // 2], steps[-1]} if steps else set()):
        bars = [
            Bar(
                e["lane"], e["name"].replace("_", " "), fill_of(e["name"]), e["start_s"], e["end_s"]
            )
            for e in folder.timeline
            if e["step"] == step
        ]
        chart = timeline(f"Step {step} over time", LANES, bars, lambda s: f"{s:.3g} s")
        figures.append(Figure(f"Step {step}", "", chart, []))
    return figures


def _overlap(events: Sequence[Json]) -> str:
    """How much of scoring was hidden behind generation."""
    spans: dict[int, dict[str, tuple[float, float]]] = {}
    for event in events:
        lane = spans.setdefault(event["step"], {})
        start, end = lane.get(event["lane"], (event["start_s"], event["end_s"]))
        lane[event["lane"]] = min(start, event["start_s"]), max(end, event["end_s"])
    both = [lane for lane in spans.values() if "generate" in lane and "score" in lane]
    if not both:
        return ""
    scoring = fmean(lane["score"][1] - lane["score"][0] for lane in both)
    hidden = fmean(
        max(0.0, min(lane["generate"][1], lane["score"][1]) - lane["score"][0]) for lane in both
    )
    return (
        f" Scoring lasted {scoring:.2f} s, of which {hidden:.2f} s ran beside generation; the rest "
        "is the wait for scores."
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


def _plain(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


_RAW = {
    "cer": Curve("CER", "by the reward's recogniser", [("cer", "CER")], percent_0),
    "nll": Curve("NLL", "nats per token, by the reward's recogniser", [("nll", "NLL")], _plain),
}
