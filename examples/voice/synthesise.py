"""Speak the training texts with flite on every core, shard by shard, until the time is up.

python -m examples.voice.synthesise WORK --seconds 330 --processes 14
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from pathlib import Path

from examples.voice.corpus import SHARD, held_out_texts, training_texts, write_shard
from examples.voice.flite import load_voice

SPEECH = "speech"
HELD_OUT = "held_out"
ENDED = "speech.ended"
"""File that tells: no further shard will come."""


def main() -> None:
    """Start a process per core; leave ENDED when all have ended."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--held-out", type=int, default=200, help="held-out texts to speak, too")
    given = parser.parse_args()
    synthesise(given.work, given.seconds, given.processes, given.held_out)


def synthesise(work: Path, seconds: float, processes: int, held_out: int) -> None:
    """Speak until `seconds` are over or every text is spoken; what is there is kept."""
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=speak_some, args=(work, n, processes, seconds, held_out))
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failed = sum(worker.exitcode != 0 for worker in workers)
    if failed:
        raise SystemExit(f"{failed} of {processes} processes of flite failed")
    (work / ENDED).touch()


def speak_some(work: Path, worker: int, workers: int, seconds: float, held_out: int) -> None:
    """Every `workers`-th shard from `worker` on; the first worker begins with held-out texts."""
    os.nice(10)
    speak = load_voice()
    if worker == 0 and not (work / f"{HELD_OUT}.npz").exists():
        few = held_out_texts()[:held_out]
        write_shard(work / f"{HELD_OUT}.npz", [speak(text) for text in few], list(range(len(few))))
    texts = training_texts()
    start = time.monotonic()
    for number in range(worker, -(-len(texts) // SHARD), workers):
        path = work / SPEECH / f"{number:05d}.npz"
        if path.exists():
            continue
        if number != worker and time.monotonic() - start > seconds:
            return
        chosen = list(range(number * SHARD, min(len(texts), (number + 1) * SHARD)))
        recordings = [speak(texts[i]) for i in chosen]
        write_shard(path, recordings, chosen)


if __name__ == "__main__":
    main()
