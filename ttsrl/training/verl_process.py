"""verl's main program as a process: it imports what it needs while the run is still being checked.

What it imports takes 10 to 30 s, and the checks take nearly as long.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ttsrl.config.schema import RunConfig
from ttsrl.runtime.job import Job
from ttsrl.runtime.scratch import scratch
from ttsrl.storage.atomic import replace_text
from ttsrl.training import environment
from ttsrl.training.forked_workers import before_import, place_of_forks, run_verl


class VerlProcess:
    """Entered, it may be told once to train. All of it ends when it is left.

    It may be entered again before that, and ends when it is first left. `one_machine`: the Ray
    cluster that is there is this machine alone, and this run's.
    """

    def __init__(self, run: RunConfig, device: str, log: Path, one_machine: bool = False) -> None:
        self._run, self._device, self._log = run, device, log
        self._one_machine = one_machine
        self._stack: ExitStack | None = None
        self._job: Job | None = None
        self.folder: Path | None = None
        """For the files of a Ray that is started on this machine; None: one is there."""
        self.forks: Path | None = None
        """Socket at which Ray's workers are forked off this process; None: they start as usual."""

    def __enter__(self) -> Self:
        """Where workers are forked off it, it starts to import."""
        if self._stack is not None:
            return self
        with ExitStack() as stack:
            # a folder of its own: others may write to Ray's
            self._told = stack.enter_context(scratch("ttsrl-verl-")) / "told.json"
            here = environment.ray_address() is None
            if here:
                self.folder = stack.enter_context(scratch("ttsrl-ray-"))
            if here or self._one_machine:
                per_machine = self._run.train.gpus_per_node
                self.forks = stack.enter_context(place_of_forks(self._device, per_machine))
            stack.callback(self._end)
            if self.forks is not None:
                self._job = self._started(environment.of_imports(self._run, self._device))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._stack is not None:
            self._stack.close()

    def begin(self, keys_file: Path, variables: Mapping[str, str]) -> Job:
        """Train by verl's keys in a file; each process of the run has these variables."""
        told = {"keys": str(keys_file), "variables": dict(variables)}
        replace_text(self._told, json.dumps(told))
        if self._job is None:
            self._job = self._started(variables)
        return self._job

    def _end(self) -> None:
        if self._job is None:
            return
        self._job.stop()
        if not self._told.exists():
            self._forget_log()

    def _forget_log(self) -> None:
        """A run that was refused has no log. One that was there may be another process'."""
        if self._log_is_new:
            self._log.unlink()
            with suppress(OSError):  # other files are there
                for folder in self._made:
                    folder.rmdir()

    def _started(self, variables: Mapping[str, str]) -> Job:
        self._log_is_new = not self._log.exists()
        self._made = [folder for folder in self._log.parents if not folder.exists()]
        variables = dict(variables)
        if self.folder is not None:
            variables["TMPDIR"] = str(self.folder)  # verl leaves locks in the temporary folder
        if self.forks is not None:
            variables |= before_import(self._device)
        return Job("verl", run_verl, (self._told, self.forks), self._log, variables)


@contextmanager
def processes_of(
    run: RunConfig, device: str, log: Path, one_machine: bool = False
) -> Generator[Callable[[], AbstractContextManager[VerlProcess]]]:
    """Gives what makes a process for each start of verl. The first one is there from now on."""
    with VerlProcess(run, device, log, one_machine) as early:
        unused = [early]

        @contextmanager
        def following() -> Generator[VerlProcess]:
            if not unused:
                with VerlProcess(run, device, log, one_machine) as process:
                    yield process
                return
            with unused.pop() as process:
                yield process

        yield following
