"""The trackers of a run as its supervisor sees them: a process that may end without any harm."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Self

from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.records.record import parse
from ttsrl.records.tracking import TrackersStatus, TrackerStatus
from ttsrl.runtime.job import Job
from ttsrl.tracking.follow import LAST_WORDS_S, end_file, follow, status_file, tell_rest

AGAIN_AFTER_S = 30.0
"""Before a process that ended early is started anew."""
LOOK_EVERY_S = 1.0
POLL_S = 0.1


class Trackers:
    """The process for as long as it is entered; nothing where the run has no trackers."""

    def __init__(self, run: RunConfig, config: Path, work_dir: Path) -> None:
        """`config` is the run's file, of which the process reads the run."""
        self._has_any = bool(run.trackers)
        self._config, self._work_dir = config, work_dir
        self._job: Job | None = None
        self._look_s = 0.0
        self._died_s = math.inf
        self._behind: set[str] = set()
        self.status: list[TrackerStatus] = []

    def __enter__(self) -> Self:
        if self._has_any:
            end_file(self._work_dir).parent.mkdir(parents=True, exist_ok=True)
            end_file(self._work_dir).unlink(missing_ok=True)
            status_file(self._work_dir).unlink(missing_ok=True)
            self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let it tell the rest, but not where training was interrupted."""
        if self._job is None:
            return
        end_file(self._work_dir).touch()
        waits = kind is None or issubclass(kind, Exception)
        deadline = time.monotonic() + (LAST_WORDS_S + 5 if waits else 0)
        while self._is_running() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        self._read_status()
        self._job.stop()
        self._say_what_is_missing()

    def look(self) -> None:
        """Start it again if it has ended; say which tracker is behind, and which no more."""
        now = time.monotonic()
        if self._job is None or now - self._look_s < LOOK_EVERY_S:
            return
        self._look_s = now
        if not self._is_running() and now - self._died_s > AGAIN_AFTER_S:
            self._start()
        self._read_status()
        behind = {one.name: one.trouble for one in self.status if one.trouble}
        for name in behind.keys() - self._behind:
            print(f"tracker {name} is behind, training continues: {behind[name]}", flush=True)
        for name in self._behind - behind.keys():
            print(f"tracker {name} answers again", flush=True)
        self._behind = set(behind)

    def _start(self) -> None:
        log = self._work_dir / "logs" / "trackers.log"
        self._job = Job("trackers", follow, (self._config, self._work_dir), log)
        self._died_s = math.inf

    def _is_running(self) -> bool:
        died = ""
        try:
            if self._job is not None and self._job.is_running():
                return True
        except (BadInput, Failure, KeyboardInterrupt) as error:
            died = str(error)
        if self._died_s == math.inf:
            self._died_s = time.monotonic()
            if died:
                print(f"what tells the trackers ended, training continues: {died}", flush=True)
        return False

    def _read_status(self) -> None:
        file = status_file(self._work_dir)
        if file.is_file():
            self.status = parse(TrackersStatus, file.read_bytes(), file).trackers

    def _say_what_is_missing(self) -> None:
        for one in self.status:
            if one.dropped:
                print(f"tracker {one.name} refused {one.dropped} entries", flush=True)
            if one.trouble:
                print(
                    f"tracker {one.name} has the run up to step {one.step} ({one.trouble}); "
                    "`ttsrl track` with the run's file tells it the rest",
                    flush=True,
                )


def tell_if_wanted(config: Path, work_dir: Path) -> None:
    """Tell the trackers of a run what they have not got, where it has any; never fails for that."""
    if not load_run(config).trackers:
        return
    job = Job("track", tell_rest, (config, work_dir), work_dir / "logs" / "track.log")
    try:
        while job.is_running():
            time.sleep(POLL_S)
    except (BadInput, Failure) as error:
        print(f"trackers were not told: {error}", flush=True)
    finally:
        job.stop()
