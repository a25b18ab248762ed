"""SIGTERM of a process that trains, sent to this one."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from ttsrl.training.ending import EXIT_CODE, Ending


@pytest.fixture
def ending() -> Iterator[Ending]:
    before = signal.getsignal(signal.SIGTERM)
    ending = Ending()
    ending.listen()
    yield ending
    signal.signal(signal.SIGTERM, before)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_it_ends_at_once_while_nothing_could_be_saved(ending: Ending) -> None:
    with pytest.raises(SystemExit) as left:
        terminate()
    assert left.value.code == EXIT_CODE == 143
    assert not ending.is_asked


def test_the_first_signal_asks_and_the_second_ends(ending: Ending) -> None:
    ending.can_save = True
    assert not ending.is_new() and not ending.is_late(0)
    terminate()
    assert ending.is_asked and [ending.is_new(), ending.is_new()] == [True, False]
    assert ending.is_late(-1) and not ending.is_late(3600)
    with pytest.raises(SystemExit):
        terminate()
