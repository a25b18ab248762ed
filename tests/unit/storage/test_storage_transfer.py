"""Threads and progress of a transfer."""

import threading
import time

import pytest

from ttsrl.storage.transfer import WORKERS, Transfer


@pytest.mark.timeout(300)
def test_the_first_error_ends_everything() -> None:
    """Files that would run for ever, and parts that wait behind them, end with it."""
    running = threading.Barrier(WORKERS)

    def part(number: int) -> None:
        with transfer.whole() as advance:
            while True:
                advance(1)
                time.sleep(0.001)

    def file(number: int) -> None:
        if number < WORKERS:
            running.wait()
        if number == 0:
            raise OSError("broken")
        list(transfer.parts(part, range(3)))

    with pytest.raises(OSError, match="broken"), Transfer(None) as transfer:
        transfer.files(file, range(10 * WORKERS))


def test_bytes_of_what_failed_are_taken_back() -> None:
    seen: list[tuple[int, int]] = []
    with Transfer(lambda done, total: seen.append((done, total))) as transfer:
        transfer.total = 10
        transfer.advance(3)
        with pytest.raises(OSError), transfer.whole() as advance:
            advance(4)
            advance(2)
            raise OSError
    assert seen == [(3, 10), (7, 10), (9, 10), (3, 10)]


def test_results_come_in_order() -> None:
    with Transfer(None) as transfer:
        assert transfer.files(lambda n: n * n, range(100)) == [n * n for n in range(100)]
        assert list(transfer.parts(lambda n: -n, range(100))) == [-n for n in range(100)]
