"""The process that tells trackers of a run: beside its training, or once for what is left."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from ttsrl.config.load import load_run
from ttsrl.records.record import to_text
from ttsrl.records.tracking import TrackersStatus, TrackerStatus
from ttsrl.storage.atomic import replace_text
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.clips import RolloutAudio
from ttsrl.tracking.evaluations import Evaluations
from ttsrl.tracking.teller import Sources, Teller

LOOK_S = 0.5
LAST_WORDS_S = 30.0
"""What trackers get to be told the rest once training has ended."""
LOWEST_PRIORITY = 19


def status_file(work_dir: Path) -> Path:
    """How the trackers of a run's folder are doing (`TrackersStatus`)."""
    return work_dir / "trackers" / "status.json"


def end_file(work_dir: Path) -> Path:
    """It is there once training has ended."""
    return work_dir / "trackers" / "ended"


def follow(config: Path, work_dir: Path) -> int:
    """Tell the trackers until the end of training and a little longer, as a job."""
    _tell(config, work_dir, lambda: end_file(work_dir).exists(), LAST_WORDS_S)
    return _leave(0)


def tell_rest(config: Path, work_dir: Path, patience_s: float = LAST_WORDS_S) -> int:
    """Tell the trackers what they have not got, as a job; exit code 1 where one still lacks it."""
    behind = _tell(config, work_dir, lambda: True, patience_s)
    if behind:
        print("error: " + "; ".join(f"{one.name} is behind: {one.trouble}" for one in behind))
    return _leave(1 if behind else 0)


def _leave(code: int) -> NoReturn:
    """End now: what a client does at exit may wait for a server that never answers."""
    sys.stdout.flush()
    os._exit(code)


def _tell(
    config: Path, work_dir: Path, has_ended: Callable[[], bool], patience_s: float
) -> list[TrackerStatus]:
    """Returns those that lack something at the end."""
    os.nice(LOWEST_PRIORITY)
    run = load_run(config)
    work_dir = work_dir.absolute()
    store = RunStore(run.storage, run.name)
    sources = Sources(run, work_dir, store, RolloutAudio(run), Evaluations(run, work_dir, store))
    ended = threading.Event()
    tellers = [Teller(tracker, sources, ended) for tracker in run.trackers]
    status_file(work_dir).parent.mkdir(parents=True, exist_ok=True)
    for teller in tellers:
        teller.thread.start()
    deadline: float | None = None
    while any(teller.thread.is_alive() for teller in tellers):
        if deadline is None and has_ended():
            ended.set()
            deadline = time.monotonic() + patience_s
        if deadline is not None and time.monotonic() > deadline:
            break
        _write_status(work_dir, tellers)
        time.sleep(LOOK_S)
    _write_status(work_dir, tellers)
    return [teller.status for teller in tellers if teller.thread.is_alive()]


def _write_status(work_dir: Path, tellers: Sequence[Teller]) -> None:
    status = TrackersStatus(trackers=[teller.status for teller in tellers])
    replace_text(status_file(work_dir), to_text(status))
