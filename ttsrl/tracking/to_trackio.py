"""Trackio: a database in the run's folder, a Hugging Face Space, or a server of one's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ttsrl.config.tracking import TrackioConfig
from ttsrl.records.tracking import Told
from ttsrl.tracking.base import (
    EVALUATED_STEP,
    STEP,
    About,
    EvaluationNote,
    FindingNote,
    RolloutClip,
    StepNote,
)
from ttsrl.tracking.findings import finding_name, finding_row
from ttsrl.tracking.rollout_table import caption_of, columns_of, row_of

LOUDEST_PCM = 32767


class TrackioTracker:
    """See `ttsrl.tracking.base.Tracker`. A local database is asked what it has."""

    def __init__(self, config: TrackioConfig, folder: Path, about: About) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["TRACKIO_DIR"] = str(folder)  # read as it is imported
        import trackio

        self._trackio = trackio
        self._config = config
        self._is_local = config.space is None and config.address is None
        self._run = trackio.init(
            project=config.project,
            name=f"{about.name}-{about.id}",
            group=about.name,
            space_id=config.space,
            server_url=config.address,
            config={**about.configuration, "ttsrl": dict(about.facts)},
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def told(self, known: Told) -> Told:
        if not self._is_local:
            return known
        from trackio.sqlite_storage import SQLiteStorage

        told = Told()
        for row in SQLiteStorage.get_logs(self._config.project, self._run.name):
            if STEP in row:
                told = told.with_step(int(row[STEP]))
            elif EVALUATED_STEP in row:
                told = told.with_evaluation(f"{row['eval/suite']}/{int(row[EVALUATED_STEP])}")
            elif name := finding_name(row):
                told = told.with_finding(name)
        return told

    def step(self, note: StepNote) -> None:
        row: dict[str, Any] = dict(note.figures)
        if note.clips:
            columns = columns_of(note.clips)
            data = [row_of(clip, note.clips) for clip in note.clips]
            row["rollouts"] = self._trackio.Table(columns=columns, data=data)
            row |= {
                f"rollouts/{clip.name}": self._trackio.Audio(
                    _pcm(clip), sample_rate=clip.sample_rate_hz, caption=caption_of(clip)
                )
                for clip in note.clips
                if clip.waveform is not None
            }
        self._run.log(row, step=note.step)

    def evaluation(self, note: EvaluationNote) -> None:
        row: dict[str, Any] = {**note.figures, "eval/suite": note.suite}
        if note.verdict:
            row["verdict"] = self._trackio.Markdown(note.verdict)
        self._run.log(row, step=note.step)

    def finding(self, note: FindingNote) -> None:
        self._run.log(finding_row(note), step=note.step)

    def close(self) -> None:
        self._run.finish()


def _pcm(clip: RolloutClip) -> np.ndarray[Any, np.dtype[np.int16]]:
    """Trackio would make every rollout as loud as its format allows."""
    assert clip.waveform is not None
    return (np.clip(clip.waveform, -1, 1) * LOUDEST_PCM).astype(np.int16)
