"""A run's folder as earlier versions wrote it gives the report that they gave.

`golden_run` was written by a short real run of the tiny stack, before the records had types: its
first step is as the first version wrote it, its last one has a gated and a failed rollout.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ttsrl.config.load import dump_run, load_run
from ttsrl.evaluation.report import page
from ttsrl.evaluation.report.comparison import compare, verdict
from ttsrl.evaluation.report.curves import Figure, step_time, training_curves
from ttsrl.evaluation.report.inputs import RunFolder, read_run_folder
from ttsrl.evaluation.report.listening import Recorder, rollouts

GOLDEN = Path(__file__).parent / "golden_run"
OVERRIDES = ("eval.seeds=[0]", "eval.max_texts=6", "eval.bootstrap_samples=500")


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    work_dir = Path(shutil.copytree(GOLDEN, tmp_path / "run"))
    run = load_run("examples/tiny/run.json", OVERRIDES)
    (work_dir / "run.json").write_text(dump_run(run))
    return read_run_folder(work_dir)


def numbers(words: str) -> list[str]:
    """The figures of a text, whatever its words are."""
    return re.findall(r"[−+]?\d+(?:\.\d+)?", words)


def figure(drawn: Figure) -> list[Any]:
    """A chart by the values of its points and bars."""
    return [numbers(title) for title in re.findall(r"<title>(.*?)</title>", drawn.chart)]


def report_of(folder: RunFolder) -> dict[str, Any]:
    comparison = compare(folder)
    time = step_time(folder)
    assert time and time.stages
    return {
        "verdict": [numbers(sentence) for sentence in verdict(folder, comparison)],
        "table": [
            [[cell.kind, *numbers(f"{cell.value} {cell.detail}")] for cell in row.cells]
            for row in page.table_of(comparison)
        ],
        "table note": numbers(page.table_note_of(folder, comparison)),
        "curves": [[numbers(curve.note), *figure(curve)] for curve in training_curves(folder)],
        "time": [numbers(time.sentence), figure(time.stages), *map(figure, time.timelines)],
        "rollouts": [
            [spoken.text, clip.transcript, bool(clip.audio), [value for _, value in clip.facts]]
            for spoken in rollouts(folder, Recorder(10**9))
            for clip in spoken.clips
        ],
    }


def test_a_run_of_an_earlier_version_gives_the_report_that_it_gave(folder: RunFolder) -> None:
    assert report_of(folder) == json.loads((GOLDEN / "figures.json").read_text())
