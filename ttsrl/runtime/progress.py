"""How far things are: bars on a terminal, plain lines in a log. One style for every stage."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from ttsrl.records.step import TrainingStep

LINE_EVERY_S = 10.0
"""A log gets a stage's count at most this often; what is noted gets its line at once."""


class Progress:
    """Shows stages, each as one bar or as lines; use it as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(highlight=False)
        self._bars = Bars(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def stage(self, name: str, total: int | None = None) -> Stage:
        """Begin a stage; `total` counts whatever it works through."""
        return Stage(self.console, self._bars, name, total)

    def done_before(self, name: str, note: str) -> None:
        """Show a stage that an earlier session finished."""
        task = self._bars.add_task(name, total=1, count="", note=f"{note} (before)")
        self._bars.update(task, completed=1)
        if not self.console.is_terminal:
            self.console.print(f"{name}: done before: {note}", markup=False, soft_wrap=True)


class Stage:
    """One stage of work, begun when it is made."""

    def __init__(self, console: Console, bars: Bars, name: str, total: int | None) -> None:
        self._console = console
        self._bars = bars
        self._name = name
        self._total = total
        self._start_s = self._said_s = time.monotonic()
        self._task = bars.add_task(name, total=total, count="", note="")
        self._say("started")

    def update(self, done: int, total: int | None = None, note: str = "") -> None:
        """`done` of `total` is ready."""
        self._total = total or self._total
        self._show(done, f"{done}/{self._total}", note)

    def update_bytes(self, done: int, total: int) -> None:
        """`done` of `total` bytes have been moved."""
        self._total = total
        self._show(done, f"{done / 1e6:.1f}/{total / 1e6:.1f} MB", "")

    def tell(self, what: str) -> None:
        """Lines for the user that stay, above the bars of a terminal."""
        self._console.print(what, markup=False, soft_wrap=True)

    def finish(self, note: str = "") -> None:
        """The stage is complete."""
        total = self._total or 1
        self._bars.update(self._task, completed=total, total=total, note=note)
        self._say(f"done in {duration(time.monotonic() - self._start_s)} {note}".rstrip())

    def _show(self, done: int, count: str, note: str) -> None:
        self._bars.update(self._task, completed=done, total=self._total, count=count, note=note)
        if note or time.monotonic() - self._said_s > LINE_EVERY_S:
            self._say(f"{count} {note}".rstrip())

    def _say(self, what: str) -> None:
        self._said_s = time.monotonic()
        if not self._console.is_terminal:
            line = f"{time.strftime('%H:%M:%S')} {self._name}: {what}"
            self._console.print(line, markup=False, soft_wrap=True)


def step_note(step: TrainingStep, remaining: int, seconds_per_step: float) -> str:
    """One training step in a few words."""
    parts = [
        f"{name} {value:{form}}"
        for name, value, form in (
            ("reward", step.reward, ".3f"),
            ("CER", step.raw.get("cer"), ".3f"),
            ("tokens", step.length_tokens, ".1f"),
        )
        if value is not None
    ]
    parts.append(f"{seconds_per_step:.1f} s/step")
    parts.append(f"ETA {duration(remaining * seconds_per_step)}")
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """`0:42`, `1:03:20`."""
    return str(timedelta(seconds=round(seconds))).removeprefix("0:").removeprefix("0")
