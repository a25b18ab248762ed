"""Make the voice from nothing: speech, codec, tokens, policy, and the policy of a flawed corpus.

python -m examples.voice.build WORK          # one GPU and 16 cores: a quarter of an hour
python -m examples.voice.build WORK --toy    # minutes without a GPU, to see that it works

Every stage is a process of its own that waits for the files of those before it, so that flite
speaks on the CPU's cores while the GPU trains. What is there already is not made again. Logs are in
WORK/logs. Needs flite (apt install flite) or a folder of its libraries in FLITE.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from examples.voice.corpus import HERE

PROCESSES = max(1, len(os.sched_getaffinity(0)) - 4)
POLL_S = 1.0


@dataclass(frozen=True)
class StageProcess:
    """A stage: its module's arguments, and what tells that it is done."""

    name: str
    output: str
    arguments: tuple[str, ...]
    toy: tuple[str, ...]


STAGES = (
    StageProcess(
        "synthesise",
        "speech.ended",
        ("--seconds", "360", "--processes", str(PROCESSES)),
        ("--seconds", "12", "--processes", "1", "--held-out", "16"),
    ),
    StageProcess(
        "train_codec",
        "codec/model.safetensors",
        (),
        ("--small", "--steps", "6", "--batch", "4", "--shards", "1"),
    ),
    StageProcess(
        "refine_codec", "codec_refined/model.safetensors", (), ("--steps", "3", "--batch", "2")
    ),
    StageProcess("encode", "tokens.ended", (), ("--shifts", "1")),
    StageProcess(
        "train_policy",
        "policy/model.safetensors",
        (),
        ("--small", "--steps", "6", "--positions", "2048", "--shards", "1"),
    ),
    StageProcess(
        "train_policy --flawed",
        "policy_flawed/model.safetensors",
        ("--steps", "450"),
        ("--steps", "3", "--positions", "2048", "--shards", "1"),
    ),
)


def main() -> None:
    """Start what is not done, and wait for all of it."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args()
    work: Path = given.work.resolve()
    (work / "logs").mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    running: dict[StageProcess, subprocess.Popen[bytes]] = {}
    try:
        for stage in STAGES:
            if not (work / stage.output).exists():
                running[stage] = _start(stage, work, toy=given.toy)
        _wait(running, work, start)
    finally:
        for process in running.values():
            process.terminate()


def _start(stage: StageProcess, work: Path, *, toy: bool) -> subprocess.Popen[bytes]:
    module, *flags = stage.name.split()
    command = [sys.executable, "-m", f"examples.voice.{module}", str(work), *flags]
    command += stage.toy if toy else stage.arguments
    with (work / "logs" / f"{stage.name}.log").open("wb") as log:
        return subprocess.Popen(command, cwd=HERE.parents[1], stdout=log, stderr=log)


def _wait(running: dict[StageProcess, subprocess.Popen[bytes]], work: Path, start: float) -> None:
    """Until all have ended. Raises SystemExit as soon as one fails."""
    while running:
        for stage, process in list(running.items()):
            if process.poll() is None:
                continue
            del running[stage]
            if process.returncode:
                log = (work / "logs" / f"{stage.name}.log").read_text(errors="replace")
                raise SystemExit(f"{stage.name} failed:\n{log[-2_000:]}")
            print(f"{stage.name} ended after {time.monotonic() - start:.0f} s", flush=True)
        time.sleep(POLL_S)


if __name__ == "__main__":
    main()
