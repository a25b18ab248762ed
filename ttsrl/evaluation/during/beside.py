"""The evaluation of checkpoints beside a local training: started, watched, and never in its way."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure, Stopped
from ttsrl.evaluation.during.follow import ENDED, follow_here
from ttsrl.evaluation.during.plan import during_of
from ttsrl.evaluation.independence import check_independent
from ttsrl.records.during import FOLDER
from ttsrl.runtime.job import Job
from ttsrl.runtime.machine import gpus

RESTARTS = 5
"""Of an evaluation that was killed or failed; what it has published it does not do again."""
RESTART_AFTER_S = 10.0
POLL_S = 0.1


def check_during_training(run: RunConfig, gpus_of_training: int) -> None:
    """Refuse what can be known before training starts, where checkpoints are to be evaluated.

    Raises BadInput for a judge whose weights gave the reward, and for a GPU that is not there or
    that training computes on.
    """
    if run.eval.during_training is not None:
        cuda_beside(run, gpus_of_training)
        check_independent(run, run.eval.judges_during_training())


def cuda_beside(run: RunConfig, gpus_of_training: int) -> str:
    """The CUDA_VISIBLE_DEVICES on which checkpoints are evaluated: empty for the CPU.

    Raises BadInput for a GPU that is not there or that training computes on.
    """
    during = during_of(run)
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    visible = named.split(",") if named else [str(index) for index in range(len(gpus()))]
    if during.device == "cpu":
        return ""
    if during.device == "auto":
        free = visible[gpus_of_training:]
        return free[-1] if free else ""
    index = int(during.device.removeprefix("cuda:"))
    if index >= len(visible):
        raise BadInput(
            f"eval.during_training.device = {during.device}: this machine has {len(visible)} "
            "GPUs for ttsrl; name one of them, or cpu"
        )
    if index < gpus_of_training:
        raise BadInput(
            f"eval.during_training.device = {during.device}: training computes on the first "
            f"{gpus_of_training} GPUs, and would wait; name another GPU, or cpu"
        )
    return visible[index]


class BesideTraining:
    """One evaluation of checkpoints beside what is done in its block, where the run asks for it.

    The block's end waits for what is left to evaluate; an error ends both, unless a guard stopped
    the run.
    """

    def __init__(
        self,
        run: RunConfig,
        config: Path,
        work_dir: Path,
        gpus_of_training: int,
        tell: Callable[[str], None],
    ) -> None:
        """`config` holds the run; `tell` gets a line for the user, and the rest is in `log`."""
        is_wanted = run.eval.during_training is not None
        self.log = work_dir / "logs" / "during.log"
        self._arguments = config, work_dir
        self._cuda = cuda_beside(run, gpus_of_training) if is_wanted else ""
        self._ended = work_dir / FOLDER / ENDED
        self._tell = tell
        self._job: Job | None = None
        self._restarts = 0
        self._start_at_s = 0.0
        self._is_over = not is_wanted

    def __enter__(self) -> Self:
        if not self._is_over:
            self._ended.unlink(missing_ok=True)
            self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, Stopped):
                self._finish()
        finally:
            if self._job is not None:
                self._job.stop()

    def look(self) -> None:
        """Tell what is new; start again what was killed. Raises nothing."""
        if self._is_over:
            return
        if self._job is None:
            if time.monotonic() >= self._start_at_s:
                self._start()
            return
        try:
            self._is_over = not self._job.is_running()
        except (BadInput, Failure, KeyboardInterrupt) as error:
            self._has_failed(error)
        self._forward()

    def _finish(self) -> None:
        """Training is over: wait until all that it published is evaluated, or cannot be."""
        if self._is_over:
            return
        self._tell("training is over; evaluating the checkpoints that are left")
        self._ended.parent.mkdir(parents=True, exist_ok=True)
        self._ended.touch()
        while not self._is_over:
            self.look()
            time.sleep(POLL_S)

    def _start(self) -> None:
        self._job = Job(
            "evaluation of checkpoints", follow_here, (*self._arguments, self._cuda), self.log
        )

    def _has_failed(self, error: BaseException) -> None:
        if isinstance(error, BadInput) or self._restarts == RESTARTS:
            self._tell(f"checkpoints are not evaluated any more, and training continues: {error}")
            self._is_over = True
            return
        if not self._restarts:
            self._tell(
                f"the evaluation of checkpoints failed, is started again, and training continues: "
                f"{error}"
            )
        self._restarts += 1
        self._start_at_s = time.monotonic() + RESTART_AFTER_S
        self._forward()
        self._job = None

    def _forward(self) -> None:
        if self._job is None:
            return
        for line in self._job.output.lines():
            if line.startswith(("evaluated step", "step ")):
                self._tell(line)
