"""What a worker process does about outcomes that tell of a broken device or a hung scorer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, cast

import pytest

from ttsrl.scorers.remote import NOTHING_USED, Usage
from ttsrl.serving.messages import Measured
from ttsrl.serving.worker import serve
from ttsrl.wire import Failed, Gated, Outcome, Utterance

UTTERANCES = [Utterance(text=text, speech_tokens=[]) for text in ("a", "b")]
FINE = Gated(reason="no_tokens")
LATE = Failed(kind="deadline")


class Scripted:
    """A pipeline with these outcomes, batch after batch; its self-test fails if it is broken."""

    def __init__(self, batches: Sequence[Sequence[Outcome]], broken: bool = False) -> None:
        self.batches = iter(batches)
        self.broken = broken
        self.tests = 0

    def score(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        return list(next(self.batches))

    def take_usage(self) -> Usage:
        return NOTHING_USED

    def self_test(self) -> None:
        self.tests += 1
        if self.broken:
            raise RuntimeError("nothing is measured any more")


def answers(pipeline: Scripted, count: int) -> list[Measured]:
    """What the worker says to so many batches, or to as many as it takes."""
    ours, theirs = (Connection(end.detach()) for end in socket.socketpair())
    got: list[Measured] = []

    def ask() -> None:
        with ours:
            for _ in range(count):
                ours.send(UTTERANCES)
                got.append(ours.recv())
                if got[-1].last:
                    return

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        serve(theirs, cast(Any, pipeline), [])
    finally:
        theirs.close()
        asking.join()
    return got


def test_a_scorer_that_is_late_twice_in_a_row_ends_the_worker() -> None:
    batches = [[FINE, LATE], [FINE, FINE], [LATE, FINE], [FINE, LATE], [FINE, FINE]]
    told = answers(Scripted(batches), 5)
    assert [measured.last for measured in told] == [False, False, False, True]
    assert told[-1].outcomes == batches[3]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_device_on_which_all_fails_ends_the_worker_only_if_it_fails_the_self_test_too() -> None:
    fails = [Failed(kind="decode"), Failed(kind="scorer")]
    sound = Scripted([fails, [FINE, fails[0]], [FINE, FINE]])
    assert len(answers(sound, 3)) == 3
    assert sound.tests == 1
    with pytest.raises(RuntimeError, match="nothing is measured any more"):
        answers(Scripted([fails], broken=True), 1)
