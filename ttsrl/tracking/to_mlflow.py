"""MLflow: a tracking server, or a database in the run's folder."""

from __future__ import annotations

import html
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# before mlflow is imported, which reads them then: retries are ours
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from ttsrl.audio.io import flac_uri
from ttsrl.config.tracking import MlflowConfig
from ttsrl.records.record import to_line
from ttsrl.records.tracking import Told
from ttsrl.tracking.base import (
    FINDING,
    About,
    EvaluationNote,
    Figures,
    FindingNote,
    RefusedError,
    RolloutClip,
    StepNote,
)
from ttsrl.tracking.rollout_table import columns_of, row_of

ID, TOLD, VERDICT = "ttsrl.run", "ttsrl.told", "verdict"
"""Tags of the run: who it is, what it has, what training changed."""
BATCH = 900
"""MLflow takes 1 000 figures at once."""
LONGEST_PARAM = 6000
REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


class MlflowTracker:
    """See `ttsrl.tracking.base.Tracker`.

    What it has stands in a tag that is written with the figures; told twice, a figure with its time
    is one for MLflow.
    """

    def __init__(self, config: MlflowConfig, folder: Path, about: About) -> None:
        address = config.address or os.environ.get("MLFLOW_TRACKING_URI")
        if address is None:
            folder.mkdir(parents=True, exist_ok=True)
            address = f"sqlite:///{folder / 'mlflow.db'}"
        self._client = MlflowClient(address)
        experiment = self._experiment(config.experiment, folder if "sqlite:" in address else None)
        found = self._client.search_runs([experiment], f"tags.`{ID}` = '{about.id}'", max_results=1)
        if found:
            self._id = found[0].info.run_id
            self._told = Told.model_validate_json(found[0].data.tags.get(TOLD, "{}"))
            self._client.update_run(self._id, status="RUNNING")
            return
        tags = {ID: about.id, **{_tag(name): value for name, value in about.facts.items()}}
        run = self._client.create_run(experiment, run_name=about.name, tags=tags)
        self._id, self._told = run.info.run_id, Told()
        params = [Param(name, value) for name, value in _params("", about.configuration)]
        for at in range(0, len(params), 100):
            self._client.log_batch(self._id, params=params[at : at + 100])
        self._client.log_text(self._id, _json(about.configuration), "run.json")

    def told(self, known: Told) -> Told:
        return self._told

    def step(self, note: StepNote) -> None:
        if note.clips:
            page = f"rollouts/step_{note.step:06d}.html"
            self._client.log_text(self._id, _page(note), page)
            self._wavs(note)
        self._figures(note.figures, note.step, note.ended_at_s, self._told.with_step(note.step))

    def evaluation(self, note: EvaluationNote) -> None:
        if note.verdict:
            self._client.set_tag(self._id, VERDICT, note.verdict[:LONGEST_PARAM])
        told = self._told.with_evaluation(note.name)
        self._figures(note.figures, note.step, note.ended_at_s, told)

    def finding(self, note: FindingNote) -> None:
        self._client.set_tag(self._id, f"{FINDING}/{note.guard}", note.said[:LONGEST_PARAM])
        figure = {f"{FINDING}/{note.event}/{note.guard}": float(note.step)}
        self._figures(figure, note.step, note.at_s, self._told.with_finding(note.name))

    def close(self) -> None:
        self._client.set_terminated(self._id, "FINISHED")

    def _experiment(self, name: str, folder: Path | None) -> str:
        if (found := self._client.get_experiment_by_name(name)) is not None:
            return found.experiment_id
        artifacts = None if folder is None else (folder / "artifacts").as_uri()
        return self._client.create_experiment(name, artifact_location=artifacts)

    def _figures(self, figures: Figures, step: int, at_s: float, told: Told) -> None:
        metrics = [Metric(k, v, round(at_s * 1000), step) for k, v in figures.items()]
        tags = [RunTag(TOLD, to_line(told))]
        try:
            for at in range(0, len(metrics), BATCH):
                last = at + BATCH >= len(metrics)
                batch = metrics[at : at + BATCH]
                self._client.log_batch(self._id, metrics=batch, tags=tags if last else [])
        except MlflowException as error:
            if error.error_code in REFUSALS:
                raise RefusedError(str(error)) from error
            raise
        self._told = told

    def _wavs(self, note: StepNote) -> None:
        import soundfile

        with TemporaryDirectory() as scratch:
            for clip in note.clips:
                if clip.waveform is not None:
                    file = Path(scratch) / f"step_{note.step:06d}_{clip.name}.wav"
                    soundfile.write(file, clip.waveform, clip.sample_rate_hz, subtype="PCM_16")
            if any(Path(scratch).iterdir()):
                self._client.log_artifacts(self._id, scratch, "rollouts")


def _page(note: StepNote) -> str:
    """The table with players; MLflow shows it as it is."""
    page = io.StringIO()
    page.write('<!doctype html><meta charset="utf-8"><table border="1" cellpadding="4"><tr>')
    for name in ["audio", *columns_of(note.clips)]:
        page.write(f"<th>{html.escape(name)}</th>")
    for clip in note.clips:
        page.write(f"</tr><tr><td>{_player(clip)}</td>")
        for cell in row_of(clip, note.clips):
            shown = f"{cell:.3f}" if isinstance(cell, float) else "" if cell is None else str(cell)
            page.write(f"<td>{html.escape(shown)}</td>")
    page.write("</tr></table>")
    return page.getvalue()


def _player(clip: RolloutClip) -> str:
    if clip.waveform is None:
        return ""
    return f'<audio controls src="{flac_uri(clip.waveform, clip.sample_rate_hz)}"></audio>'


def _params(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The configuration flat, as `eval/judges/0/model`."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _params(f"{name}/{key}" if name else str(key), inner)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for at, inner in enumerate(value):
            yield from _params(f"{name}/{at}", inner)
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield name, text[:LONGEST_PARAM]


def _tag(name: str) -> str:
    return name.replace("[", "/").replace("]", "")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
