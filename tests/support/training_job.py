"""A training job in a process of its own, and what it writes."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.paths import ROOT
from support.reward_server import TTSRL
from ttsrl.config.load import dump_run
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import prepare


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in path.read_text().splitlines()] if path.exists() else []


def start_following(run: RunConfig, work_dir: Path) -> subprocess.Popen[bytes]:
    """The evaluation of a run's checkpoints as a pod does it; its log is `work_dir`/log."""
    work_dir.mkdir(parents=True, exist_ok=True)
    config = work_dir / "run.json"
    config.write_text(dump_run(run))
    with (work_dir / "log").open("ab") as log:
        return subprocess.Popen(
            [*TTSRL, "job", "follow", "--config", config, "--work-dir", work_dir],
            cwd=ROOT,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def kill_family(process: subprocess.Popen[Any]) -> None:
    """kill -9 of a process and of all that it started."""
    parent = psutil.Process(process.pid)
    for one in [parent, *parent.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # some end with what started them
            one.kill()
    process.communicate()


def start_training(
    run: RunConfig, work_dir: Path, *, audited: bool = False
) -> subprocess.Popen[str]:
    """`audited`: with the audit of its reward, which takes seconds."""
    if not audited:
        guards = run.guards.model_copy(update={"audit": "off"})
        run = run.model_copy(update={"guards": guards})
    work_dir.mkdir(parents=True, exist_ok=True)
    config = work_dir / "run.json"
    config.write_text(dump_run(run))
    prepare(run, work_dir / "data")
    return subprocess.Popen(
        [*TTSRL, "job", "train", "--config", config, "--work-dir", work_dir],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Fails when the process ends before the condition holds, or after a quarter of an hour."""
    deadline = time.monotonic() + 900
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"the training job ended early: {process.communicate()[0]}")
        time.sleep(0.05)
