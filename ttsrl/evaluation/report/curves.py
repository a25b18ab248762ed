"""Which charts are drawn of steps.jsonl and timeline.jsonl."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from ttsrl.evaluation.report.charts import Bar, Series, line_chart, stacked_bars, timeline
from ttsrl.evaluation.report.comparison import percent
from ttsrl.evaluation.report.inputs import RunFolder
from ttsrl.evaluation.report.svg import Number
from ttsrl.records.step import TimelineEvent, TrainingStep

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

ValueOf = Callable[[TrainingStep], float | None]

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
    """What to draw: lines of (value of a step, label)."""

    title: str
    note: str
    lines: Sequence[tuple[ValueOf, str]]
    number: Number
    spread: ValueOf | None = None
    """Standard deviation of the only line, drawn as a band."""


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
        Curve(
            "Reward",
            "mean and standard deviation of a step",
            [(lambda step: step.reward, "reward")],
            plain,
            spread=lambda step: step.reward_std,
        ),
        *(_raw_curve(name) for name in components),
        Curve(
            "Utilities",
            "what the reward is composed of; 1 is best",
            [(_utility(name), name.upper()) for name in components],
            plain,
        ),
        Curve(
            "Response length",
            "speech tokens",
            [(lambda step: step.length_tokens, "tokens")],
            plain,
        ),
        Curve("Duration", "seconds", [(lambda step: step.duration_s, "duration")], plain),
        Curve("End-token rate", "", [(lambda step: step.end_token_rate, "ended")], percent_0),
        Curve(
            "Gated and failed",
            _reasons(folder.steps),
            [(lambda step: step.gated_share, "gated"), (lambda step: step.failed_share, "failed")],
            percent,
        ),
        Curve("Distinct rollouts", "", [(lambda step: step.distinct_share, "distinct")], percent_0),
        Curve("Entropy", "nats per token", [(lambda step: step.entropy, "entropy")], plain),
        Curve("Gradient norm", "before clipping", [(lambda step: step.grad_norm, "norm")], plain),
        Curve("Learning rate", "", [(lambda step: step.learning_rate, "rate")], plain),
        Curve(
            "KL", "to the reference policy, nats per token", [(lambda step: step.kl, "KL")], plain
        ),
    ]
    gpus = dict.fromkeys(gpu for step in folder.steps for gpu in step.gpu_idle)
    curves.append(
        Curve(
            "Idle GPUs",
            "share of a step in which no kernel ran",
            [(_idle(gpu), f"GPU {gpu}") for gpu in gpus],
            percent_0,
        )
    )
    figures = [_figure(folder.steps, curve) for curve in curves]
    return [figure for figure in figures if figure]


def step_time(folder: RunFolder) -> StepTime | None:
    """Where the time of the steps went; None where the trainer wrote none down."""
    timed = [step for step in folder.steps if step.seconds_by_stage]
    if not timed:
        return None
    names = [name for name in STAGES if any(name in s.seconds_by_stage for s in timed)]
    stages = Figure(
        "Seconds of each step by stage",
        "",
        stacked_bars(
            "Seconds per step",
            [step.step for step in timed],
            {_words(n): [s.seconds_by_stage.get(n) for s in timed] for n in names},
            {_words(name): fill_of(name) for name in names},
            plain,
        ),
        [(fill_of(name), _words(name)) for name in names],
    )
    mean = fmean(step.seconds for step in timed)
    shares = {name: fmean(s.seconds_by_stage.get(name, 0.0) for s in timed) for name in names}
    sentence = f"A step took {mean:.1f} s: " + ", ".join(
        f"{seconds:.2f} s {_words(name)}" for name, seconds in shares.items()
    )
    words = f"{sentence}.{_overlap(folder.timeline)}{_idle_gpus(timed)}"
    return StepTime(words, stages, _timelines(folder))


def fill_of(stage: str) -> str:
    """CSS class of a stage's colour."""
    return f"f{STAGES.index(stage)}" if stage in STAGES else "f-other"


def percent_0(value: float) -> str:
    """A ratio in whole percent."""
    return percent(value, 0)


def _figure(steps: Sequence[TrainingStep], curve: Curve) -> Figure | None:
    """None where no step has a value."""
    series = [
        Series(
            label,
            [value_of(step) for step in steps],
            [curve.spread(step) for step in steps] if curve.spread else None,
        )
        for value_of, label in curve.lines
        if any(value_of(step) is not None for step in steps)
    ]
    if not series:
        return None
    chart = line_chart(curve.title, [step.step for step in steps], series, curve.number)
    keys = [(f"s{k}", one.label) for k, one in enumerate(series)] if len(series) > 1 else []
    return Figure(curve.title, curve.note, chart, keys)


def _reasons(steps: Sequence[TrainingStep]) -> str:
    """How often each gate closed and each kind of measurement failed, over all steps."""

    def counted(by_step: Iterable[Mapping[str, int]]) -> str:
        counts: Counter[str] = Counter()
        for of_step in by_step:
            counts.update(of_step)
        return ", ".join(f"{n} {_words(name)}" for name, n in counts.most_common()) or "none"

    gated = counted(step.gated_reasons for step in steps)
    failed = counted(step.failed_kinds for step in steps)
    return f"no speech ({gated}) or no score ({failed})"


def _timelines(folder: RunFolder) -> list[Figure]:
    """The first, the middle and the last step, as bars."""
    steps = sorted({event.step for event in folder.timeline})
    figures: list[Figure] = []
    for step in sorted({steps[0], steps[len(steps) // 2], steps[-1]} if steps else set()):
        bars = [
            Bar(e.lane, _words(e.name), fill_of(e.name), e.start_s, e.end_s)
            for e in folder.timeline
            if e.step == step
        ]
        chart = timeline(f"Step {step} over time", LANES, bars, lambda s: f"{s:.3g} s")
        figures.append(Figure(f"Step {step}", "", chart, []))
    return figures


def _overlap(events: Sequence[TimelineEvent]) -> str:
    """How much of scoring was hidden behind generation."""
    spans: dict[int, dict[str, tuple[float, float]]] = {}
    for event in events:
        lane = spans.setdefault(event.step, {})
        start, end = lane.get(event.lane, (event.start_s, event.end_s))
        lane[event.lane] = min(start, event.start_s), max(end, event.end_s)
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


def _idle_gpus(steps: Sequence[TrainingStep]) -> str:
    """How idle the GPUs were, by all steps' seconds; nothing where there were none."""
    measured = [(step.seconds, fmean(step.gpu_idle.values())) for step in steps if step.gpu_idle]
    if not measured:
        return ""
    share = sum(s * idle for s, idle in measured) / sum(s for s, _ in measured)
    return f" No kernel ran on the GPUs in {percent(share)} of that time (mean over GPUs)."


def _words(name: str) -> str:
    return name.replace("_", " ")


def plain(value: float) -> str:
    """Three digits, with a true minus."""
    return f"{value:.3g}".replace("-", "−")


def _raw_curve(name: str) -> Curve:
    title, note, number = _RAW.get(name, (name, "raw score", plain))
    return Curve(title, note, [(lambda step: step.raw.get(name), title)], number)


def _utility(name: str) -> ValueOf:
    return lambda step: step.utilities.get(name)


def _idle(gpu: str) -> ValueOf:
    return lambda step: step.gpu_idle.get(gpu)


_RAW: dict[str, tuple[str, str, Number]] = {
    "cer": ("CER", "by the reward's recogniser", percent_0),
    "nll": ("NLL", "nats per token, by the reward's recogniser", plain),
}
"""Score -> title, note and unit of its chart, where its name is not all."""
