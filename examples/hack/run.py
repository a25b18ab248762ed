"""`make hack`: rewards that can be fooled, with guards that stop the run and without, on one page.

python -m examples.hack.run [--out FOLDER] [--only rate] [--seeds 3]

Each run is made with the commands that users have. What is done already is not done again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from examples.hack.page import write_page
from examples.hack.sides import GUARDED, SIDES, of_seed, read_seeds
from examples.hack.tricks import TINY, TRICKS, Trick
from ttsrl.quickstart.stages import free_url
from ttsrl.runtime.exit_codes import DONE, STOPPED

CONFIG = TINY / "run.json"
READY_S = 600.0
ENDED = "exit_code"
"""File of a run that has come to its end."""


def main() -> int:
    """Do all runs that are not done, then write the page; 1 where a guard came too late."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("runs/hack"))
    parser.add_argument("--only", choices=[trick.name for trick in TRICKS], action="append")
    parser.add_argument("--side", choices=list(SIDES), action="append")
    parser.add_argument("--seeds", type=int, default=1, help="runs of each side")
    given = parser.parse_args()
    out = given.out.absolute()
    for seed in range(1, given.seeds + 1):
        for trick in TRICKS:
            if given.only and trick.name not in given.only:
                continue
            for side in given.side or SIDES:
                folder = of_seed(out, seed) / trick.name / side
                train(trick, folder, guarded=side == GUARDED, seed=seed)
    print(write_page(out))
    return tell(out)


def tell(out: Path) -> int:
    """A line per run that is done; 1 where a run with guards was not stopped in time."""
    late = False
    for trick in TRICKS:
        for seed, sides in read_seeds(trick, out).items():
            for side in sides:
                is_late = side.run.guards.built_in and not side.was_stopped_in_time
                told = trick.name if seed == 1 else f"{trick.name}, seed {seed}"
                print(f"{told}, {side.verdict}{': TOO LATE' if is_late else ''}")
                late |= is_late
    return int(late)


def train(trick: Trick, folder: Path, *, guarded: bool, seed: int = 1) -> None:
    """One run, judged all the while, to where it ends."""
    if (folder / ENDED).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    url = free_url("http://127.0.0.1:8000")
    settings = [*trick.settings(guarded=guarded), f"storage={folder.parent / 'storage'}"]
    settings.append(f"seed={seed}")
    settings.append(f"reward.url={url}")
    print(f"{trick.name}, {folder.name}", flush=True)
    with served(settings, url, folder / "serve.log"):
        code = subprocess.run(_command("train", settings, "--work-dir", str(folder))).returncode
    if code not in (DONE, STOPPED):
        raise SystemExit(f"{folder}: training ended with exit code {code}")
    (folder / ENDED).write_text(f"{code}\n")


@contextmanager
def served(settings: list[str], url: str, log: Path) -> Generator[None]:
    """A reward service that is ready."""
    command = _command("serve", settings, "--port", url.rpartition(":")[2])
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            deadline = time.monotonic() + READY_S
            while not _answers(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the reward service is not ready; see {log}")
                time.sleep(0.5)
            yield
        finally:
            process.terminate()
            process.wait()


def _command(name: str, settings: list[str], *more: str) -> list[str]:
    given = [part for setting in settings for part in ("--set", setting)]
    return [sys.executable, "-m", "ttsrl", name, "--config", str(CONFIG), *given, *more]


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=1).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
