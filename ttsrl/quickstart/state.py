"""What of a quickstart is done: state.json in the run's folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from ttsrl.config.diff import describe
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.facts import DataPath, ModelPath, models_in, walk
from ttsrl.models.hub import model_digest
from ttsrl.runtime.hold import WORKS_IN
from ttsrl.storage.atomic import replace_text

STATE = "state.json"


def forget(work_dir: Path) -> None:
    """Empty a locked folder of everything but its lock."""
    for path in work_dir.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != WORKS_IN:
            path.unlink()


def recorded_models(work_dir: Path) -> dict[str, str]:
    """Key -> model, as the quickstart in a folder began with them; empty where there is none."""
    try:
        content = json.loads((work_dir / STATE).read_bytes())
        return models_in(RunConfig.model_validate(content["config"]))
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # where there is something else, QuickstartState says so


class QuickstartState:
    """The finished stages of one configuration and its inputs."""

    def __init__(self, work_dir: Path, run: RunConfig) -> None:
        """Read what is there; raises BadInput if that is of another configuration or inputs."""
        self._path = work_dir / STATE
        ours = {"config": run.model_dump(mode="json"), "inputs": _inputs(run)}
        if not self._path.exists():
            if (work_dir / "run.json").exists():
                raise BadInput(
                    f"{work_dir} belongs to a run that no quickstart began; give this one another "
                    "name (--set name=other), or start anew with --fresh"
                )
            self._content: dict[str, Any] = {**ours, "stages": {}}
            return
        self._content = json.loads(self._path.read_text(encoding="utf-8"))
        if changes := _changes(self._content, ours):
            raise BadInput(
                f"{work_dir} holds a run of another configuration: {'; '.join(changes)}. "
                "Give this one another name (--set name=other), or start anew with --fresh"
            )

    def begin(self) -> None:
        """The folder is this configuration's from now on."""
        self._write()

    def is_finished(self, stage: str, output: Path) -> bool:
        """Whether the stage was finished before and what it left is still there."""
        return stage in self._content["stages"] and output.exists()

    def note(self, stage: str) -> str:
        """What a finished stage had to say."""
        return self._content["stages"][stage]["note"]

    def finish(self, stage: str, note: str, seconds: float) -> None:
        """Write down that a stage is finished."""
        self._content["stages"][stage] = {"note": note, "seconds": round(seconds, 1)}
        self._write()

    def _write(self) -> None:
        replace_text(self._path, json.dumps(self._content, indent=2) + "\n")


def _inputs(run: RunConfig) -> dict[str, str]:
    """Digest of every local file or folder that the run reads: its models and its data."""
    paths = {s.value for s in walk(run) if s.fact(ModelPath) or s.fact(DataPath)}
    return {path: model_digest(path) for path in sorted(paths - {None}) if Path(path).exists()}


def _changes(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What differs from the run that the folder holds."""
    configuration = describe(theirs["config"], ours["config"])
    before, now = theirs["inputs"], ours["inputs"]
    files = [path for path in sorted(before.keys() & now.keys()) if before[path] != now[path]]
    return [*filter(None, [configuration]), *(f"{path} has changed" for path in files)]
