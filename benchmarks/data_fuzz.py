"""Damaged corpora, texts and recordings: PYTHONPATH=.:tests python benchmarks/data_fuzz.py

Each case takes one real layout or audio file, damages it in one to three places, and gives it to
`ttsrl prepare`, `encode` or `audit`, or to `/score_wav`. Each has to end with exit code 0, with 1
or 2 and a message, or with scores or a 4xx: no traceback, no half of an output, nothing in /tmp.

A case depends on the seed and its number alone. Finished cases are noted in --log, and a second
call resumes there; a case that ended the process is noted as such. Every 50th command also runs in
a separate process, and has to end with the same code.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from unittest import mock

import httpx

from benchmarks.data_damage import damage
from benchmarks.data_seeds import CLIPS, CORPORA, SOUNDS, TEXTS, Seeds
from support.reward_server import TINY_RUN, TTSRL, RewardServer, start
from ttsrl.cli.app import main as ttsrl_main
from ttsrl.config.load import load_run
from ttsrl.serving.pipeline import Pipeline

CASE_LIMIT_S = 120
PROCESS_EVERY = 50
SCORE_WAV = "/score_wav"
SHARES = {"prepare": 6, "encode": 7, "audit": 2, SCORE_WAV: 5}
"""Command -> its part of the cases."""


@dataclass(frozen=True)
class Case:
    """What became of one damaged input."""

    number: int
    command: str
    seed: str
    code: str
    """Exit code, HTTP status, or "died" of the process."""
    damage: str = ""
    said: str = ""
    """Its message."""
    problem: str = ""
    """What should not have been; empty if all is well."""


class TooLongError(Exception):
    """A case that did not end in time."""


class Fuzzer:
    """Runs cases in this process; one reward service and one set of models for all of them."""

    def __init__(self, folder: Path, server: RewardServer, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.seeds = Seeds(folder / "seeds")
        self.http = httpx.Client(base_url=server.url, timeout=CASE_LIMIT_S)
        self.pipeline = Pipeline(load_run(TINY_RUN))

    def run(self, number: int) -> Case:
        """One case, by its number alone."""
        draw = random.Random(f"{self.seed} {number}")
        command = draw.choices(list(SHARES), list(SHARES.values()))[0]
        work, scratch = self.folder / "case", self.folder / "tmp"
        for place in (work, scratch):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
        name, source = self._source(draw, command, work / "in")
        done = damage(draw, source.parent if source.is_file() else source)
        with (
            _limited(CASE_LIMIT_S),
            _temporary_files_in(scratch),
            # Loading the models for each audit would take most of the time.
            mock.patch("ttsrl.serving.audit_command.Pipeline", lambda *_: self.pipeline),
        ):
            code, said, problem = self._run(number, command, source, work / "out")
        if left := sorted(p.name for p in scratch.iterdir()):
            problem = problem or f"left in the folder of temporary files: {left[:3]}"
        return Case(number, command, name, code, "; ".join(done), said[-500:], problem)

    def _source(self, draw: random.Random, command: str, to: Path) -> tuple[str, Path]:
        kinds = {"prepare": TEXTS, "encode": CORPORA, "audit": CLIPS, SCORE_WAV: SOUNDS}[command]
        name = draw.choice(sorted(kinds))
        return name, self.seeds.copy(kinds[name], to)

    def _run(self, number: int, command: str, source: Path, out: Path) -> tuple[str, str, str]:
        """(how it ended, what it said, what should not have been)"""
        if command == SCORE_WAV:
            return self._score(source)
        arguments = _arguments(command, source, out)
        code, printed = _in_process(arguments)
        problem = _problem_of(code, printed) or half_written(command, code, out)
        if not problem and number % PROCESS_EVERY == 0:
            again = out.with_name("again")
            ended = subprocess.run(
                [*TTSRL, *_arguments(command, source, again)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=CASE_LIMIT_S,
            )
            problem = _problem_of(ended.returncode, ended.stderr)
            if ended.returncode != code:
                problem = f"{code} here, {ended.returncode} as a process: {ended.stderr[-300:]}"
        return str(code), printed, problem

    def _score(self, source: Path) -> tuple[str, str, str]:
        file = next((f for f in sorted(source.rglob("*")) if f.is_file()), None)
        body = file.read_bytes() if file else b""
        answer = self.http.post(f"{SCORE_WAV}?text=four%20red%20tigers", content=body)
        said = answer.text
        gated = answer.status_code == 500 and '"detail":"gated, ' in said
        is_right = answer.status_code == 200 or 400 <= answer.status_code < 500 or gated
        problem = "" if is_right and "Traceback" not in said else "neither scores nor a refusal"
        return str(answer.status_code), said, problem


def _arguments(command: str, source: Path, out: Path) -> list[str]:
    if command == "encode":
        codec = str(TINY_RUN.parent / "codec")
        return ["encode", str(source), "--codec", codec, "--out", str(out), "--language", "en"]
    if command == "audit":
        return ["audit", "--config", str(TINY_RUN), "--clips", str(source)]
    texts = f"data.texts={json.dumps(str(source))}"
    return ["prepare", "--config", str(TINY_RUN), "--set", texts, "--work-dir", str(out)]


def _in_process(arguments: list[str]) -> tuple[int, str]:
    """(exit code, what was printed to standard error) of a command of this process."""
    printed = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["ttsrl", *arguments]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(printed),
    ):
        try:
            ttsrl_main()
        except SystemExit as ended:
            return int(ended.code or 0), printed.getvalue()
        except Exception as error:
            return 1, f"Traceback: {error!r}"
    return 0, printed.getvalue()


def _problem_of(code: int, printed: str) -> str:
    if code not in (0, 1, 2):
        return f"exit code {code}: {printed[-300:]}"
    if "Traceback" in printed or "unexpected: " in printed:
        return f"a traceback: {printed[-300:]}"
    if code and "error: " not in printed and "Usage: " not in printed:
        return f"exit code {code} without a reason: {printed[-300:]}"
    return ""


def half_written(command: str, code: int, out: Path) -> str:
    """What of an output is not whole; nothing if all of it is, or none."""
    files = {f.relative_to(out).as_posix() for f in out.rglob("*") if f.is_file()}
    if odd := [f for f in files if f.endswith(".tmp") or Path(f).name.startswith(".")]:
        return f"half a file: {odd[0]}"
    shards = {f for f in files if f.endswith(".parquet")}
    if command == "prepare" and len(shards) != (0 if code else 2):
        return f"exit code {code} with {sorted(shards)}"
    if command == "encode" and code == 0 and not {"encode.json", "skipped.jsonl"} <= files:
        return f"exit code 0 with {sorted(files)}"
    if command == "encode" and code == 2 and shards:
        return f"exit code 2 after {len(shards)} shards"
    return ""


@contextlib.contextmanager
def _limited(seconds: int) -> Generator[None]:
    def end(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"not done after {seconds} s")

    signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


@contextlib.contextmanager
def _temporary_files_in(folder: Path) -> Generator[None]:
    with mock.patch.dict(os.environ, {"TMPDIR": str(folder)}):
        tempfile.tempdir = None
        try:
            yield
        finally:
            tempfile.tempdir = None


class Log:
    """Cases in JSON lines: begun, then done."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.done: dict[int, Case] = {}
        begun: set[int] = set()
        for line in file.read_text().split("\n") if file.is_file() else []:
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if "begun" in row:
                    begun.add(row["begun"])
                else:
                    self.done[row["number"]] = Case(**row)
        for number in begun - set(self.done):
            self.add(Case(number, "?", "?", "died", problem="the process ended in this case"))

    def begin(self, number: int) -> None:
        """Note a case before it runs: it may end the process."""
        self._append({"begun": number})

    def add(self, case: Case) -> None:
        """Note a case that is done."""
        self.done[case.number] = case
        self._append(asdict(case))

    def _append(self, row: object) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(row) + "\n")


def fuzz(
    folder: Path, server: RewardServer, cases: int, seed: int, log: Log, tell: Callable[[str], None]
) -> list[Case]:
    """Run the cases that the log does not have; all of them, in order."""
    fuzzer = Fuzzer(folder, server, seed)
    for number in range(cases):
        if number in log.done:
            continue
        log.begin(number)
        try:
            case = fuzzer.run(number)
        except TooLongError as error:
            case = Case(number, "?", "?", "late", problem=str(error))
        log.add(case)
        if case.problem:
            tell(f"PROBLEM {asdict(case)}")
        if number % 100 == 99:
            tell(f"{number + 1} of {cases}")
    if "Traceback" in server.log.read_text():
        log.add(Case(-1, SCORE_WAV, "?", "500", problem=f"a traceback in {server.log}"))
    return [log.done[number] for number in sorted(log.done) if number < cases]


def table(cases: list[Case]) -> str:
    """How many cases of each command ended in which way."""
    counts = Counter((case.command, case.code) for case in cases)
    rows = [f"  {command:<12} {code:>5} {count:6}" for (command, code), count in counts.items()]
    return "\n".join(["  command       code  cases", *sorted(rows)])


def main() -> None:
    """Prints the table; fails if a case ended as it should not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, help="default: .cache/data_fuzz_SEED.jsonl")
    arguments = parser.parse_args()
    file: Path = arguments.log or Path(f".cache/data_fuzz_{arguments.seed}.jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = start(folder, ["reward.batch_size=8"])
        begin = time.monotonic()
        try:
            server.wait_ready()
            log = Log(file)
            before = len(log.done)
            cases = fuzz(folder, server, arguments.cases, arguments.seed, log, print)
        finally:
            server.stop()
    seconds = time.monotonic() - begin
    print(f"{len(cases)} cases, {len(cases) - before} of them now, in {seconds:.0f} s; log: {file}")
    print(table(cases))
    problems = [case for case in cases if case.problem]
    print(f"{len(problems)} problems")
    raise SystemExit(bool(problems))


if __name__ == "__main__":
    main()
