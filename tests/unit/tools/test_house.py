"""What `make lint` says of names and rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import house


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "ttsrl/__init__.py": "",
        "ttsrl/audio/io.py": "class Clip:\n    class Part: ...\n",
        "tests/unit/test_io.py": "class Sample: ...\nclass Other:\n    class Part: ...\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_names_that_are_defined_once_pass(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert house.main(tree) == 0
    assert capsys.readouterr().out == ""


def test_a_name_that_is_defined_twice_is_an_error(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "benchmarks").mkdir()
    (tree / "benchmarks/clips.py").write_text("\n\nclass Clip: ...\n")
    assert house.main(tree) == 1
    places = "benchmarks/clips.py:3 and ttsrl/audio/io.py:1"
    assert capsys.readouterr().out == f"class Clip is defined in {places}: rename one of them\n"


def test_a_root_with_too_many_files_is_an_error(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(house.MOST_LOOSE_FILES):
        (tree / f"ttsrl/file{number}.py").touch()
    assert house.main(tree) == 1
    assert "ttsrl/ has 9 files beside its rooms, at most 8" in capsys.readouterr().out
