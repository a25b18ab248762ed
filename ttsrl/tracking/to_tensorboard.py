"""TensorBoard: event files in a folder, which TensorBoard shows while they grow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from ttsrl.records.tracking import Told
from ttsrl.tracking.base import (
    EVALUATED_STEP,
    FINDING,
    STEP,
    About,
    EvaluationNote,
    Figures,
    FindingNote,
    RolloutClip,
    StepNote,
)
from ttsrl.tracking.rollout_table import columns_of, row_of

SCALARS_ONLY = {"scalars": 0, "audio": 1, "tensors": 1, "images": 1, "histograms": 1}
"""All scalars (0) and next to nothing else into memory."""


class TensorboardTracker:
    """See `ttsrl.tracking.base.Tracker`. What it has is read back from its files.

    The number of a step is written last, so that a step without one is not there; a new writer
    tells TensorBoard to forget all of later steps, so that what was found or evaluated there is
    told again.
    """

    def __init__(self, folder: Path, about: About) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._told = _read_back(folder)
        self._writer = SummaryWriter(str(folder), purge_step=self._told.step + 1)
        if self._told == Told():
            self._writer.add_text("about", _list([*about.facts.items()]), 0)
            self._writer.add_text("configuration", _code(about.configuration), 0)

    def told(self, known: Told) -> Told:
        return self._told

    def step(self, note: StepNote) -> None:
        for clip in note.clips:
            if clip.waveform is not None:
                self._writer.add_audio(
                    f"rollouts/{clip.name}",
                    torch.from_numpy(clip.waveform).unsqueeze(0),
                    note.step,
                    clip.sample_rate_hz,
                    note.ended_at_s,
                )
        if note.clips:
            self._writer.add_text("rollouts", _table(note.clips), note.step, note.ended_at_s)
        self._scalars(note.figures, STEP, note.step, note.ended_at_s)

    def evaluation(self, note: EvaluationNote) -> None:
        if note.verdict:
            self._writer.add_text("verdict", note.verdict, note.step, note.ended_at_s)
        mark = _mark(note.suite)
        figures = {**note.figures, mark: float(note.step)}
        self._scalars(figures, mark, note.step, note.ended_at_s)

    def finding(self, note: FindingNote) -> None:
        self._writer.add_text(FINDING, note.said, note.step, note.at_s)
        mark = f"{FINDING}/{note.event}/{note.guard}"
        self._scalars({mark: float(note.step)}, mark, note.step, note.at_s)

    def close(self) -> None:
        self._writer.close()

    def _scalars(self, figures: Figures, last: str, step: int, at_s: float) -> None:
        for name in sorted(figures, key=lambda name: name == last):
            self._writer.add_scalar(name, figures[name], step, at_s)
        self._writer.flush()


def _read_back(folder: Path) -> Told:
    events = EventAccumulator(str(folder), size_guidance=SCALARS_ONLY).Reload()
    tags = cast("list[str]", events.Tags()["scalars"])
    last = max((event.step for event in events.Scalars(STEP)), default=0) if STEP in tags else 0
    evaluations = [
        f"{tag.removeprefix(f'{EVALUATED_STEP}/')}/{event.step}"
        for tag in tags
        if tag.startswith(f"{EVALUATED_STEP}/")
        for event in events.Scalars(tag)
        if event.step <= last
    ]
    findings = [
        f"{tag.removeprefix(f'{FINDING}/')}/{event.step}"
        for tag in tags
        if tag.startswith(f"{FINDING}/")
        for event in events.Scalars(tag)
        if event.step <= last
    ]
    return Told(step=last, evaluations=evaluations, findings=findings)


def _mark(suite: str) -> str:
    return f"{EVALUATED_STEP}/{suite}"


def _table(clips: Sequence[RolloutClip]) -> str:
    """As Markdown."""
    columns = columns_of(clips)
    rows = [columns, ["---"] * len(columns), *(row_of(clip, clips) for clip in clips)]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _list(facts: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts)


def _code(value: object) -> str:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "\n".join(f"    {line}" for line in text.splitlines())
