"""The whole path on one machine: python -m ttsrl.quickstart --config examples/tiny/run.json

The same command goes on where an interrupted one ended; a finished one shows its results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from ttsrl.config.load import load_run, origin
from ttsrl.quickstart.run import quickstart
from ttsrl.quickstart.stages import STAGES
from ttsrl.quickstart.table import before_and_after
from ttsrl.runtime.exit_codes import exit_code


def main() -> int:
    """Exit code 0 done, 1 failed, 2 bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m ttsrl.quickstart", description=__doc__)
    parser.add_argument("--config", required=True, help="the run's JSON file")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--work-dir", type=Path, help="the run's folder; default: runs/NAME")
    parser.add_argument("--fresh", action="store_true", help="forget what is done")
    return exit_code(lambda: run_and_show(parser.parse_args()))


def run_and_show(arguments: argparse.Namespace) -> None:
    """All stages, then the table and the report's path."""
    run = load_run(arguments.config, arguments.set)
    work_dir = (arguments.work_dir or Path("runs") / run.name).absolute()
    local_storage = origin(arguments.config, arguments.set, "storage") == "default"
    quickstart(run, work_dir, STAGES, local_storage=local_storage, fresh=arguments.fresh)
    Console(highlight=False).print(before_and_after(run, work_dir))
    print(f"report: {work_dir / 'report.html'}")


if __name__ == "__main__":
    sys.exit(main())
