"""The table that a quickstart ends with."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from support.records import report_of
from ttsrl.config.load import load_run
from ttsrl.quickstart.table import before_and_after
from ttsrl.records.record import to_text

FIGURES = {"value": 0.3, "low": 0.2, "high": 0.4}
ADAPTED = {"kin": "whisper", "unlike": "judge", "mode": "sampled", "texts": 9} | dict.fromkeys(
    ("kin_gain", "unlike_gain", "adaptation"), FIGURES
)


def test_it_says_how_a_judge_is_related_to_the_reward_and_what_only_kin_measures(
    tmp_path: Path,
) -> None:
    run = load_run("examples/tiny/run.json")
    judges = [
        {"name": "judge", "type": "ctc", "model": "j", "kinship": "unlike"},
        {"name": "whisper", "type": "whisper", "model": "w", "kinship": "same"},
        {"name": "near", "type": "whisper", "model": "n", "kinship": "kin"},
    ]
    for side, adaptation in (("before", []), ("after", [ADAPTED])):
        cers = {"sampled": {"judge": 0.25, "whisper": 0.5, "near": None}}
        folder = tmp_path / "eval" / side
        folder.mkdir(parents=True)
        report = report_of(cers, judges=judges, adaptation=adaptation)
        (folder / "report.json").write_text(to_text(report))
    page = StringIO()
    Console(width=100, file=page).print(before_and_after(run, tmp_path))
    rows = [line.split("│") for line in page.getvalue().splitlines() if line.startswith("│")]
    shown = {cells[1].strip(): " ".join(cells[2:]) for cells in rows}
    assert "25.0%" in shown["CER by judge"]
    assert "50.0%" in shown["CER by whisper (gave the reward)"]
    assert "CER by near (kin of the reward)" in shown
    assert "+30 points" in shown["measured by whisper alone"]
