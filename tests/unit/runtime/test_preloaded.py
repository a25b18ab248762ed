"""Programs forked off a process that has imported what they need: as Python would run them."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.preloaded import DEADLINE_S, Preloaded
from ttsrl.runtime.forked_python import python_of

PROGRAM = """
import json, os, sys
from pathlib import Path
told = {
    "imported": "colorsys" in sys.modules,
    "arguments": sys.argv,
    "folder": os.getcwd(),
    "variable": os.environ.get("TTSRL_TOLD"),
    "prepared": os.environ.get("PREPARED"),
    "file": __file__,
    "own": json.loads(sys.stdin.readline() or "null"),
    "files": len(os.listdir("/proc/self/fd")),
}
print(json.dumps(told))
print("to the other stream", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def preloaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preloaded]:
    made = Preloaded(tmp_path_factory.mktemp("preloaded"))
    yield made
    made.end()


def test_a_program_has_what_is_imported_and_the_rest_of_who_asks(preloaded: Preloaded) -> None:
    for word in ("one", "two"):
        ran = preloaded.start(PROGRAM, "--word", word)
        out, err = ran.communicate('{"a": 1}\n', timeout=DEADLINE_S)
        told = json.loads(out)
        assert told.pop("files") == 4, "others' files stay open"  # and the list itself
        assert told == {
            "imported": True,
            "arguments": [str(preloaded.folder / "program.py"), "--word", word],
            "folder": str(preloaded.folder),
            "variable": str(("--word", word)),
            "prepared": "yes",
            "file": str(preloaded.folder / "program.py"),
            "own": {"a": 1},
        }
        assert err == "to the other stream\n"
        assert ran.returncode == 0


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("import sys; sys.exit(3)", 3, ""),
        ("raise SystemExit('amiss')", 1, "amiss"),
        ("raise ValueError('amiss')", 1, "ValueError: amiss"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
        ("import atexit; atexit.register(print, 'at its end')", 0, ""),
    ],
)
def test_its_exit_code_is_the_program_s(
    preloaded: Preloaded, text: str, code: int, said: str
) -> None:
    ran = preloaded.start(text)
    out, err = ran.communicate(timeout=DEADLINE_S)
    assert ran.returncode == code
    assert said in err
    assert out == ("at its end\n" if "atexit" in text else "")


WAITS = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


def waiting(preloaded: Preloaded) -> tuple[subprocess.Popen[str], psutil.Process]:
    """A program that waits, as who asked for it and as its own process."""
    ran = preloaded.start(WAITS)
    assert ran.stdout is not None
    return ran, psutil.Process(int(ran.stdout.readline()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_who_asked_and_the_program_end_together(preloaded: Preloaded, number: int) -> None:
    ran, program = waiting(preloaded)
    ran.send_signal(number)
    ran.communicate(timeout=DEADLINE_S)
    program.wait(DEADLINE_S)
    assert ran.returncode == -number


def test_a_program_that_is_killed_is_told(preloaded: Preloaded) -> None:
    ran, program = waiting(preloaded)
    program.kill()
    ran.communicate(timeout=DEADLINE_S)
    assert ran.returncode == -signal.SIGKILL


def test_programs_end_with_the_child_that_went_on(tmp_path: Path) -> None:
    preloaded = Preloaded(tmp_path)
    ran, program = waiting(preloaded)
    assert preloaded.end(7) == 7
    program.wait(DEADLINE_S)
    ran.communicate(timeout=DEADLINE_S)
    assert ran.returncode == 1


@pytest.mark.parametrize("who", ["child", "parent"])
def test_nothing_is_left_when_one_is_killed(tmp_path: Path, who: str) -> None:
    preloaded = Preloaded(tmp_path)
    ran, program = waiting(preloaded)
    (preloaded.main if who == "child" else preloaded.process).kill()
    for process in (preloaded.main, program):
        process.wait(DEADLINE_S)
    assert preloaded.process.wait(DEADLINE_S) == (137 if who == "child" else -signal.SIGKILL)
    ran.communicate(timeout=DEADLINE_S)
    assert ran.returncode == 1


def test_a_signal_is_for_the_child_that_went_on(tmp_path: Path) -> None:
    preloaded = Preloaded(tmp_path)
    preloaded.process.terminate()
    assert preloaded.process.wait(DEADLINE_S) == 128 + signal.SIGTERM


def test_a_program_ends_with_the_process_that_started_it(preloaded: Preloaded) -> None:
    program_file = preloaded.folder / "program.py"
    program_file.write_text(WAITS)
    command = [*python_of(str(preloaded.socket)), str(program_file)]
    starts = f"import subprocess; subprocess.run({command})"
    starter = subprocess.Popen([sys.executable, "-c", starts], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    program = psutil.Process(int(starter.stdout.readline()))
    starter.kill()
    program.wait(DEADLINE_S)
    starter.communicate(timeout=DEADLINE_S)


def test_a_process_with_threads_is_not_forked(tmp_path: Path) -> None:
    text = "import sys; print('colorsys' in sys.modules, sys.argv[1:])"
    thread = "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    threaded = Preloaded(tmp_path, thread)
    assert threaded.said.endswith("because this one has the threads python\n")
    out, err = threaded.start(text, "a b").communicate(timeout=DEADLINE_S)
    assert (out, err) == ("False ['a b']\n", "")
    assert threaded.end(3) == 3


NAMED = """
import ctypes
ctypes.CDLL(None).prctl(15, {name!r}, 0, 0, 0)
threading.Thread(target=threading.Event().wait, daemon=True).start()
ctypes.CDLL(None).prctl(15, b"python", 0, 0, 0)
"""
"""A thread begins with the name of the one that starts it."""


@pytest.mark.parametrize(
    ("name", "is_forked"),
    [(b"cuda00001c00008", True), (b"jemalloc_bg_thd", True), (b"pool", False)],
)
def test_a_thread_that_no_fork_misses_is_no_hindrance(
    tmp_path: Path, name: bytes, is_forked: bool
) -> None:
    preloaded = Preloaded(tmp_path, NAMED.format(name=name))
    assert preloaded.said.startswith("continues") is is_forked
    assert preloaded.end(0) == 0


def test_one_that_breaks_off_its_question_harms_none(preloaded: Preloaded) -> None:
    for half in (b"", b"\0" * 7 + b"\xff", b"\0" * 7 + b"\x02[]"):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(preloaded.socket))
            if half:
                socket.send_fds(client, [half], [0])
    assert preloaded.start("").wait(DEADLINE_S) == 0


def test_others_may_not_ask(preloaded: Preloaded) -> None:
    assert stat.S_IMODE(preloaded.socket.stat().st_mode) == 0o600


READS = "import os, sys; print(os.read(int(sys.argv[1]), 99).decode(), 'colorsys' in sys.modules)"
OF_A_LIBRARY = 99
OPENS = f"""
from ttsrl.runtime.preloaded import low_numbers_kept
os.dup2(0, {OF_A_LIBRARY})
with low_numbers_kept():
    kept = os.open(os.devnull, os.O_RDONLY)
"""


# Ray's workers have files at 3 to 6, and a library that is imported opens such numbers, too
@pytest.mark.parametrize(
    ("number", "is_forked"), [(OF_A_LIBRARY, False), (98, True), (3, True), (4, True)]
)
def test_a_program_finds_its_open_files_where_they_were(
    tmp_path: Path, number: int, is_forked: bool
) -> None:
    preloaded = Preloaded(tmp_path, OPENS)
    read, write = os.pipe()
    os.write(write, b"read")
    program = preloaded.start(READS, str(number), file=read, number=number)
    out, err = program.communicate(timeout=DEADLINE_S)
    os.close(read)
    os.close(write)
    assert (out, err) == (f"read {is_forked}\n", "")
    assert preloaded.end() == 0
