"""Write a run's report: `python -m ttsrl.evaluation.report --work-dir runs/NAME`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ttsrl.evaluation.report.page import write_report
from ttsrl.runtime.exit_codes import exit_code


def main() -> None:
    """Exits with 0 done, 1 failed, 2 where there is no run."""
    parser = argparse.ArgumentParser(prog="python -m ttsrl.evaluation.report", description=__doc__)
    parser.add_argument("--work-dir", required=True, type=Path, help="the run's folder")
    arguments = parser.parse_args()
    sys.exit(exit_code(lambda: print(write_report(arguments.work_dir))))


if __name__ == "__main__":
    main()
