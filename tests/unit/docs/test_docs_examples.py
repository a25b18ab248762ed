"""The worked examples of docs/extending.md: applied to a copy of the library, and run there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.page_examples import Program, apply, files_of, programs_of
from support.paths import ROOT

PAGE = (ROOT / "docs/extending.md").read_text()
PROGRAMS = programs_of(PAGE)
RUN_ALL = """
import contextlib, io, json, sys, traceback
printed = {}
for title, code in json.load(sys.stdin).items():
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(code, title, "exec"), {"__name__": title})
        except Exception:
            out.write(traceback.format_exc())
    printed[title] = out.getvalue()
json.dump(printed, sys.stdout)
"""
"""One process for all programs: importing torch takes longer than each of them."""


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the library with all that the page adds."""
    root = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "ttsrl", root / "ttsrl", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "examples/recipes").mkdir(parents=True)
    (root / "examples/tiny").symlink_to(ROOT / "examples/tiny")
    for block in files_of(PAGE):
        apply(block, root)
    return root


@pytest.fixture(scope="module")
def printed(extended: Path) -> dict[str, str]:
    """Title -> what its program printed."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL],
        input=json.dumps({program.title: program.code for program in PROGRAMS}),
        env=os.environ | {"PYTHONPATH": str(extended)},
        cwd=extended,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_section_has_a_program() -> None:
    titles = [program.title for program in PROGRAMS]
    assert titles == ["A scorer", "A family", "A codec", "A suite", "A recipe"]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.title)
def test_a_program_prints_what_the_page_says(program: Program, printed: dict[str, str]) -> None:
    assert printed[program.title] == program.printed


def test_what_the_page_adds_is_formatted_and_has_no_unused_import(extended: Path) -> None:
    added = [block.path for block in files_of(PAGE) if block.language == "python"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", *config, *added], ["format", "--check", *config, *added]):
        done = subprocess.run([*ruff, *command], cwd=extended, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
