"""Weights & Biases: online, or as offline runs that `wandb sync` sends later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import wandb

from ttsrl.config.tracking import WandbConfig
from ttsrl.records.tracking import Told
from ttsrl.tracking.base import (
    EVALUATED_STEP,
    FINDING,
    STEP,
    About,
    EvaluationNote,
    FindingNote,
    StepNote,
)
from ttsrl.tracking.findings import finding_row
from ttsrl.tracking.rollout_table import columns_of, row_of
from ttsrl.tracking.wandb_files import read_back

INIT_TIMEOUT_S = 60.0
FLUSH_EVERY_S = 1.0
"""What a kill may take of an offline run, which is then told again."""


class WandbTracker:
    """See `ttsrl.tracking.base.Tracker`.

    Its own step counts calls; figures are drawn over the step of training, evaluations over that of
    their model. An offline run is written by another process, and what a kill took from that is
    found out from its files.
    """

    def __init__(self, config: WandbConfig, folder: Path, about: About) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("DATA", "CACHE", "CONFIG", "ARTIFACT"):  # offline, artifacts wait in the first
            os.environ[f"WANDB_{name}_DIR"] = str(folder)
        self._written = None if config.online else read_back(folder, about.id)
        if config.address:
            os.environ["WANDB_BASE_URL"] = config.address
        self._run = wandb.init(
            project=config.project,
            entity=config.entity,
            id=about.id,
            name=about.name,
            dir=str(folder),
            mode="online" if config.online else "offline",
            resume="allow",
            config={**about.configuration, "ttsrl": dict(about.facts)},
            allow_val_change=True,
            settings=wandb.Settings(
                console="off",
                silent=True,
                save_code=False,
                disable_git=True,  # it would take the folder of whoever started this for the code
                disable_job_creation=True,
                x_disable_stats=True,
                init_timeout=INIT_TIMEOUT_S,
                x_transaction_log_flush_interval=FLUSH_EVERY_S,
            ),
        )
        for names in ("train/*", "raw/*", "utility/*", "rollouts"):
            self._run.define_metric(names, step_metric=STEP)
        self._run.define_metric("eval/*", step_metric=EVALUATED_STEP)
        self._run.define_metric(f"{FINDING}/*", step_metric=f"{FINDING}/step")

    def told(self, known: Told) -> Told:
        if self._written is not None:
            return self._written
        sent = self._run.summary.get(STEP)
        return known if sent is None else known.with_step(int(sent))

    def step(self, note: StepNote) -> None:
        row: dict[str, Any] = dict(note.figures)
        if note.clips:
            row["rollouts"] = _table(note)
        self._run.log(row)

    def evaluation(self, note: EvaluationNote) -> None:
        verdict = {"verdict": note.verdict} if note.verdict else {}
        self._run.log({**note.figures, "eval/suite": note.suite, **verdict})

    def finding(self, note: FindingNote) -> None:
        self._run.log(finding_row(note))

    def close(self) -> None:
        self._run.finish()


def _table(note: StepNote) -> wandb.Table:
    columns = columns_of(note.clips)
    at = columns.index("text")
    table = wandb.Table(columns=[*columns[:at], "audio", *columns[at:]])
    for clip in note.clips:
        audio = None
        if clip.waveform is not None:
            audio = wandb.Audio(clip.waveform, sample_rate=clip.sample_rate_hz)
        cells = row_of(clip, note.clips)
        table.add_data(*cells[:at], audio, *cells[at:])
    return table
