"""What a forked program starts by multiprocessing's method spawn: forked, and else as Python's."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.preloaded import DEADLINE_S, Preloaded
from ttsrl.runtime import forked_python

SPAWNS = """
import json, os, signal, sys, time
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.shared_memory import SharedMemory

def talk(pipe, queue, lock, may_end, name):
    memory = SharedMemory(name)
    with lock:
        memory.buf[0] += 1
    memory.close()
    queue.put(pipe.recv() + 1)
    parent = parent_process()
    pipe.send(
        dict(
            imported="colorsys" in sys.modules,
            prepared=os.environ.get("PREPARED"),
            parent=parent.pid,
            parent_lives=parent.is_alive(),
            arguments=sys.argv,
            name=current_process().name,
            input=sys.stdin.read(),
        )
    )
    pipe.close()
    may_end.wait()
    sys.exit(7)

def wait(pipe):
    signal.signal(signal.SIGUSR1, lambda number, _: sys.exit(5))
    pipe.send(os.getpid())
    time.sleep(600)
"""
TALKS = (
    SPAWNS
    + """
if __name__ == "__main__":
    spawn = get_context("spawn")
    pipe, other = spawn.Pipe()
    queue, lock, may_end = spawn.Queue(), spawn.Lock(), spawn.Event()
    memory = SharedMemory(create=True, size=1)
    arguments = (other, queue, lock, may_end, memory.name)
    process = spawn.Process(target=talk, args=arguments, name="talks")
    process.start()
    other.close()
    pipe.send(41)
    told = dict(queue=queue.get(), own=os.getpid(), **pipe.recv())
    try:
        pipe.recv()
    except EOFError:  # while the other still runs
        told["closed"] = process.is_alive()
    may_end.set()
    process.join()
    told |= dict(memory=memory.buf[0], code=process.exitcode)
    memory.close()
    memory.unlink()
    print(json.dumps(told))
"""
)
WAITS = (
    SPAWNS
    + """
if __name__ == "__main__":
    spawn = get_context("spawn")
    pipe, other = spawn.Pipe()
    process = spawn.Process(target=wait, args=(other,))
    process.start()
    print(pipe.recv(), flush=True)
    sys.stdin.readline()
    exec(sys.argv[1])
    process.join()
    print(process.exitcode)
"""
)


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    made = Preloaded(tmp_path_factory.mktemp("preloaded"))
    yield made
    made.end()


def test_it_is_forked_and_shares_what_it_is_given(preloaded: Preloaded) -> None:
    out, err = preloaded.start(TALKS, "an argument").communicate(timeout=DEADLINE_S)
    assert err == ""
    told = json.loads(out)
    own = told.pop("own")
    assert told == {
        "queue": 42,
        "imported": True,
        "prepared": "yes",
        "parent": own,
        "parent_lives": True,
        "arguments": [str(preloaded.folder / "program.py"), "an argument"],
        "name": "talks",
        "input": "",
        "closed": True,
        "memory": 1,
        "code": 7,
    }


def waiting(preloaded: Preloaded, then: str) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A program that does something with what it has started when it is told, and that process."""
    ran = preloaded.start(WAITS, then)
    assert ran.stdout is not None
    return ran, psutil.Process(int(ran.stdout.readline()))


@pytest.mark.parametrize(
    ("then", "code"),
    [
        ("process.terminate()", -signal.SIGTERM),
        ("process.kill()", -signal.SIGKILL),
        ("os.kill(process.pid, signal.SIGUSR1)", 5),
    ],
)
def test_its_end_is_told(preloaded: Preloaded, then: str, code: int) -> None:
    ran, process = waiting(preloaded, then)
    out, err = ran.communicate("\n", timeout=DEADLINE_S)
    assert (out, err) == (f"{code}\n", "")
    process.wait(DEADLINE_S)


def test_it_ends_with_the_program(preloaded: Preloaded) -> None:
    ran, process = waiting(preloaded, "os.kill(os.getpid(), signal.SIGKILL)")
    ran.communicate("\n", timeout=DEADLINE_S)
    process.wait(DEADLINE_S)
    assert ran.returncode == -signal.SIGKILL


def test_the_tracker_of_resources_is_python_s_own_and_outlives_the_program(
    preloaded: Preloaded,
) -> None:
    ran = preloaded.start(LEAVES)
    assert ran.stdout is not None
    name, tracker = ran.stdout.readline().split()
    deadline = time.monotonic() + DEADLINE_S
    while not is_python_alone(psutil.Process(int(tracker)).cmdline()):
        assert time.monotonic() < deadline, "it was forked"
        time.sleep(0.02)
    _, err = ran.communicate("\n", timeout=DEADLINE_S)  # the tracker has this stream, too
    assert "1 leaked shared_memory objects" in err
    assert not (Path("/dev/shm") / name).exists()


LEAVES = """
import os, signal, sys
from multiprocessing import resource_tracker
from multiprocessing.shared_memory import SharedMemory
memory = SharedMemory(create=True, size=1)
print(memory.name, resource_tracker._resource_tracker._pid, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGKILL)
"""


def is_python_alone(command: list[str]) -> bool:
    return command[:1] == [sys.executable] and forked_python.__file__ not in command
