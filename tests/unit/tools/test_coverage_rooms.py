"""`make coverage`: lines per room, its limit and what is allowed below it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.coverage_rooms import main


def write_report(folder: Path, **files: tuple[int, int]) -> Path:
    """A report of files, written as room__file, with lines (run, not run)."""
    facts = {
        f"ttsrl/{name.replace('__', '/')}.py": {
            "summary": {
                "covered_lines": run,
                "missing_lines": not_run,
                "num_statements": run + not_run,
            }
        }
        for name, (run, not_run) in files.items()
    }
    path = folder / "report.json"
    path.write_text(json.dumps({"files": facts}))
    return path


def settings(**allowances: Any) -> dict[str, Any]:
    return {"percent": 85, "allowances": allowances}


def test_each_room_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = write_report(tmp_path, base=(9, 1), audio__io=(80, 20), audio__x__y=(20, 0))
    assert main(report, {"percent": 83, "allowances": {}}) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["(root)", "90.0", "%", "of", "10", "lines"],
        ["audio", "83.3", "%", "of", "120", "lines"],
    ]


def test_a_room_below_the_limit_fails_with_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = write_report(tmp_path, kube__a=(10, 5), kube__b=(10, 9), text__c=(10, 0))
    assert main(report, settings()) == 1
    out = capsys.readouterr().out
    assert "below 85 %" in out
    assert out.index("ttsrl/kube/b.py") < out.index("ttsrl/kube/a.py")
    assert "text/c.py" not in out


def test_a_room_may_have_a_lower_limit_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = write_report(tmp_path, kube__a=(8, 2))
    assert main(report, settings(kube={"percent": 80, "reason": "needs a cluster"})) == 0
    assert "at least 80 %: needs a cluster" in capsys.readouterr().out
    assert main(report, settings(kube={"percent": 81, "reason": "needs a cluster"})) == 1
