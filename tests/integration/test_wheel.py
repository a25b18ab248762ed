"""The wheel, installed where there is no checkout: every command, and the quickstart."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from support.paths import ROOT

MAX_WHEEL_BYTES = 12_000_000
SHORT = ("train.steps=1", "train.prompts_per_step=2", "rollout.group_size=2", "eval.max_texts=2")
EVERY_HELP = """
import contextlib, io, typer
from ttsrl.cli.app import app

def names(command):
    for name, inner in getattr(command, "commands", {}).items():
        yield [name]
        yield from ([name, *more] for more in names(inner))

for name in names(typer.main.get_command(app)):
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        app([*name, "--help"], standalone_mode=False)
    assert "Example: ttsrl" in shown.getvalue(), name
    print(*name)
"""


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it, and with the packages of this one."""

    environment: Path
    folder: Path
    """Where its commands are typed: an empty folder."""

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        ours = ("PYTHONPATH", "VIRTUAL_ENV", "KUBECONFIG")
        # rclone is a package's script, which is installed where the package is
        scripts = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name not in ours}
            | {"HOME": str(self.folder), "OMP_NUM_THREADS": "1", "PATH": scripts},
            capture_output=True,
            text=True,
        )

    def says(self, program: str, *arguments: str) -> str:
        done = self.run(program, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [file] = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("elsewhere") / "a path with a space"
    environment = folder / "environment"
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run(install, check=True)
    # The .pth files of a folder that a .pth file names are not read: no checkout is found by them.
    [site_packages] = environment.glob("lib/python3*/site-packages")
    (site_packages / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "empty").mkdir()
    return Installation(environment, folder / "empty")


def test_a_wheel_has_the_library_and_what_its_commands_need(wheel: Path) -> None:
    assert wheel.stat().st_size < MAX_WHEEL_BYTES
    with zipfile.ZipFile(wheel) as archive:
        files = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in files} == {"ttsrl"}
    for part in ("test", "__pycache__", "resources/examples/tiny/build.py"):
        assert [name for name in files if part in name] == []


def test_every_command_is_there(installed: Installation) -> None:
    where = installed.says("python", "-c", "import ttsrl; print(ttsrl.__file__)").strip()
    assert Path(where).is_relative_to(installed.environment)
    assert installed.says("ttsrl", "--version") == f"ttsrl {version('ttsrl')}\n"
    shown = installed.says("python", "-c", EVERY_HELP).splitlines()
    assert {"quickstart", "submit", "job train", "prefer collect"} <= {*shown}
    assert json.loads(installed.says("ttsrl", "config", "--schema"))["title"] == "RunConfig"
    run = json.loads(installed.says("ttsrl", "config", "--config", "examples/tiny/run.json"))
    assert Path(run["model"]).is_relative_to(installed.environment)


def test_submit_says_that_there_is_no_cluster(
    installed: Installation,
) -> None:
    refused = installed.run("ttsrl", "submit")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: no cluster is configured")


@pytest.mark.timeout(2400)
def test_the_quickstart_runs(installed: Installation) -> None:
    settings = [word for setting in SHORT for word in ("--set", setting)]
    said = installed.says("ttsrl", "quickstart", *settings)
    folder = installed.folder / "runs" / "quickstart"
    assert said.endswith(f"report: {folder / 'report.html'}\n")
    assert (folder / "report.html").is_file()
    [step] = (folder / "train" / "steps.jsonl").read_text().splitlines()
    assert json.loads(step)["step"] == 1
