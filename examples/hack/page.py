"""hack.html: what each fooled reward did to speech, with guards and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import ttsrl.evaluation.report as report_room
from examples.hack.chart import alone, both
from examples.hack.sides import SIDES, Side, read_seeds
from examples.hack.tricks import JUDGE, TRICKS, Trick
from ttsrl.audio.io import flac_uri, read_recording
from ttsrl.evaluation.report.comparison import in_points, percent
from ttsrl.evaluation.report.inputs import Evaluation
from ttsrl.evaluation.report.listening import PlayedClip, Spoken, marked
from ttsrl.records.evaluation import SAMPLED
from ttsrl.storage.atomic import replace_text

TEXTS = 4
"""To listen to, of each trick."""
PAGE = "hack.html"


def write_page(out: Path) -> Path:
    """Write hack.html of the runs below `out` that are done, and a plot of each; returns its path.

    Raises BadInput where a run's files cannot be read.
    """
    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined
    )
    css = Path(str(report_room.__file__)).with_name("page.css").read_text(encoding="utf-8")
    found = [(trick, seeds) for trick in TRICKS if (seeds := read_seeds(trick, out))]
    for trick, seeds in found:
        replace_text(out / f"hack-{trick.name}.svg", alone(seeds[1]))
    page = environment.get_template("page.html").render(
        css=Markup(css), tricks=[_shown(trick, list(seeds.values())) for trick, seeds in found]
    )
    replace_text(out / PAGE, page)
    return out / PAGE


def _shown(trick: Trick, seeds: Sequence[Sequence[Side]]) -> dict[str, object]:
    """Values of the template: the runs of the first seed, and what all of them have in common."""
    sides = seeds[0]
    return {
        "name": trick.name,
        "title": trick.title,
        "hole": trick.hole,
        "unnoticed": ", ".join(name.replace("_", " ") for name in sides[0].unnoticed),
        "said": next((side.stopped.said for side in sides if side.stopped is not None), ""),
        "base": percent(sides[0].end.before.value),
        "rows": [_row(side) for side in sides]
        + [_over_seeds(name, seeds) for name in SIDES.values() if len(seeds) > 1],
        "chart": both(sides),
        "names": [side.name for side in sides],
        "spoken": list(_spoken(sides)),
    }


def _row(side: Side) -> tuple[str, str, str, str, str]:
    """Name, end, reward, CER, and what it differs by from the base."""
    moved = side.end.difference
    end = f"stopped after step {side.steps[-1].step}" if side.stopped else "the last step"
    first, last = (side.steps[at].reward or 0.0 for at in (0, -1))
    interval = f"{in_points(moved.low)} to {in_points(moved.high)}"
    return (
        side.name,
        end if side.stopped else f"all {side.steps[-1].step} steps",
        f"{first:.2f} → {last:.2f}",
        percent(side.end.after.value),
        f"{in_points(moved.value)} ({interval})",
    )


def _over_seeds(name: str, seeds: Sequence[Sequence[Side]]) -> tuple[str, str, str, str, str]:
    """Mean and range of one side's runs over the seeds that have it."""
    runs = [side for sides in seeds for side in sides if side.name == name]
    stopped = sum(side.stopped is not None for side in runs)
    steps = _mean_and_range([side.steps[-1].step for side in runs], lambda step: f"{step:.0f}")
    rewards = [side.steps[-1].reward or 0.0 for side in runs]
    return (
        f"{name}, {len(runs)} seeds",
        f"{stopped} stopped, after {steps} steps",
        _mean_and_range(rewards, lambda reward: f"{reward:.2f}"),
        _mean_and_range([side.end.after.value for side in runs], percent),
        _mean_and_range([side.end.difference.value for side in runs], in_points),
    )


def _mean_and_range(values: Sequence[float], told: Callable[[float], str]) -> str:
    return f"{told(fmean(values))} ({told(min(values))} to {told(max(values))})"


def _spoken(sides: Sequence[Side]) -> Iterator[Spoken]:
    """The same texts in every version."""
    versions = {"before training": sides[0].base, **{side.name: side.last for side in sides}}
    kept = {
        name: {row.text: row for row in version.of_mode(SAMPLED) if row.wav}
        for name, version in versions.items()
    }
    common = [
        text for text in kept["before training"] if all(text in rows for rows in kept.values())
    ]
    for text in common[:TEXTS]:
        yield Spoken(text, [_clip(name, version, text) for name, version in versions.items()])


def _clip(name: str, version: Evaluation, text: str) -> PlayedClip:
    row = next(row for row in version.of_mode(SAMPLED) if row.text == text and row.wav)
    waveform, rate_hz = read_recording(version.folder / str(row.wav))
    verdict = row.judges[JUDGE]
    facts = [
        ("CER", "failed" if verdict.cer is None else percent(verdict.cer, 0)),
        ("duration", f"{row.duration_s:.1f} s"),
    ]
    heard = marked(row.text, verdict.transcript, row.language)
    return PlayedClip(name, flac_uri(waveform, rate_hz) if len(waveform) else None, heard, facts)
