"""A command's job in the run's folder: another process, its progress shown, its output in a log."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ttsrl.config.schema import RunConfig
    from ttsrl.evaluation.during.beside import BesideTraining
    from ttsrl.runtime.job import Job
    from ttsrl.runtime.progress import Stage


@contextmanager
def resolved_for(
    name: str,
    config: Path,
    override: list[str] | None,
    work_dir: Path | None,
    trains: bool = False,
) -> Generator[tuple[RunConfig, Path, Path]]:
    """Gives (run, its folder, a file of the job NAME with everything resolved in it).

    One process at a time has a job of that name in the folder, and one that trains there alone.
    The folder's run.json becomes the same as the file, unless another command trains there.
    Raises BadInput.
    """
    from ttsrl.config.load import dump_run, load_run
    from ttsrl.runtime.hold import WORKS_IN, hold, hold_run, is_held
    from ttsrl.storage.atomic import replace_text
    from ttsrl.storage.published import RUN

    run = load_run(config, override or [])
    folder = (work_dir or Path("runs") / run.name).absolute()
    with ExitStack() as stack:
        if trains:
            stack.enter_context(hold_run(folder))
        resolved = folder / "logs" / f"{name}.json"
        stack.enter_context(
            hold(
                resolved.with_name(f".{resolved.stem}.lock"),
                lambda process: (
                    f"another command (process {process}) does {name} in {folder}; "
                    "wait for its end, or take another folder: --work-dir DIR"
                ),
            )
        )
        replace_text(resolved, dump_run(run))
        if trains or not is_held(folder / WORKS_IN):
            replace_text(folder / RUN, dump_run(run))
        yield run, folder, resolved


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
