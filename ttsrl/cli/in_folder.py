"""A command's job in the run's folder: another process, its progress shown, its output in a log."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ttsrl.config.schema import RunConfig
    from ttsrl.evaluation.during.beside import BesideTraining
    from ttsrl.runtime.job import Job
    from ttsrl.runtime.progress import Stage


def resolve(
    config: Path, override: list[str] | None, work_dir: Path | None
) -> tuple[RunConfig, Path, Path]:
    """(run, its folder, run.json with everything resolved in it)."""
    from ttsrl.config.load import dump_run, load_run

    run = load_run(config, override or [])
    folder = (work_dir or Path("runs") / run.name).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    resolved = folder / "run.json"
    resolved.write_text(dump_run(run), encoding="utf-8")
    return run, folder, resolved


def do(
    name: str,
    folder: Path,
    function: Callable[..., int | None],
    *arguments: object,
    watch: Callable[[Job, Stage], Callable[[], object]] | None = None,
    beside: Callable[[Stage], BesideTraining] | None = None,
) -> None:
    """Call a function in a job to its end; its log is logs/NAME.log of the run's folder.

    `beside` evaluates what the job publishes, and afterwards what is left of that.
    """
    from ttsrl.runtime.follow import follow
    from ttsrl.runtime.job import Job
    from ttsrl.runtime.progress import Progress

    # not the handler of SIGINT: shells start what they do not wait for with SIGINT ignored
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with Progress() as progress, ExitStack() as stack:
        stage = progress.stage(name)
        job = Job(name, function, arguments, folder / "logs" / f"{name}.log")
        stack.callback(job.stop)
        looks = [watch(job, stage)] if watch else []
        if beside is not None:
            looks.append(stack.enter_context(beside(stage)).look)
        follow(job, *looks)
        stage.finish(f"log: {job.log}")
