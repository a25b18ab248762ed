"""Trains one run and resumes it: python -m ttsrl.training --config run.json [--work-dir runs/NAME]

On one machine it starts a Ray of its own; where RAY_ADDRESS is set, as in the entrypoint of a
RayJob, it uses that cluster and leaves it as it was. Exit code 0: every step is done and published.
Any other: the same command goes on from the last published checkpoint.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType

from ttsrl.runtime.exit_codes import exit_code
from ttsrl.training.supervisor import train


def main() -> None:
    """Exits with 0 done, 1 failed, 2 bad input, 130 interrupted, 143 terminated."""
    parser = argparse.ArgumentParser(prog="python -m ttsrl.training", description=__doc__)
    parser.add_argument("--config", required=True, help="the run's JSON file")
    parser.add_argument(
        "--work-dir", type=Path, help="a local folder, by the same path on every machine; runs/NAME"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, terminate)
    sys.exit(exit_code(lambda: train(arguments.config, arguments.work_dir)))


def terminate(number: int, _: FrameType | None) -> None:
    """Handler of SIGTERM: end as Ctrl-C does, with the signal's exit code."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
