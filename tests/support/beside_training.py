"""The evaluation of checkpoints without a trainer, a merger or a judge: all that moves files."""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from support.paths import TINY
from support.records import report_of, row_of
from ttsrl.config.load import load_run
from ttsrl.evaluation.during.evaluator import Beside, CheckpointEvaluator
from ttsrl.evaluation.during.models import CheckpointModels
from ttsrl.records.evaluation import REPORT, ROWS
from ttsrl.records.record import to_text, write_lines
from ttsrl.storage.run_store import RunStore

NOISE = (-0.02, -0.01, 0.0, 0.01, 0.02)


def publish_evaluation(
    store: RunStore, folder: Path, step: int, cer: float, suite: str = "held_out"
) -> None:
    folder.mkdir(exist_ok=True)
    out = Path(mkdtemp(dir=folder))
    write_evaluation(out, cer)
    store.storage.publish(out, store.eval(suite, step))


def write_evaluation(out: Path, cer: float, **values: Any) -> None:
    """A finished evaluation of five texts; its mean CER is `cer`."""
    rows = [row_of(n, {"judge": cer + d}, mode="sampled") for n, d in enumerate(NOISE)]
    out.mkdir(parents=True, exist_ok=True)
    report = report_of({"sampled": {"judge": cer}}, texts=len(rows), **values)
    (out / REPORT).write_text(to_text(report))
    write_lines(out / ROWS, rows)


def publish_model(store: RunStore, folder: Path, step: int) -> None:
    model = folder / f"model{step}"
    model.mkdir(parents=True)
    (model / "config.json").write_text("{}")
    store.storage.publish(model, store.model(step))


DURING = "held_out.during"
FEW = 'eval.during_training={"every": 1, "texts": 5, "device": "cpu"}'


class Copied(CheckpointModels):
    """Models that no trainer has made, for verl's merger takes seconds for each."""

    def get_ready(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def _merge(self, step: int, model: Path) -> None:
        model.mkdir()
        (model / "config.json").write_text(f'{{"step": {step}}}')


def beside_training(tmp_path: Path, *settings: str) -> CheckpointEvaluator:
    """The evaluation of a run's checkpoints, none of whose models is published."""
    storage = f"storage={tmp_path / 'storage'}"
    run = load_run(TINY / "run.json", [FEW, storage, *settings])
    store = RunStore(run.storage, run.name)
    folder = tmp_path / "during"
    folder.mkdir()
    models = Copied(folder / "models", store)
    beside = Beside(tmp_path / "run.json", tmp_path, folder, {}, lambda: True)
    return CheckpointEvaluator(run, store, models, beside)
