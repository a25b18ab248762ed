"""Evaluate one model on a suite: the held-out texts, or one of `eval.suites`.

python -m ttsrl.evaluation --config run.json --model FOLDER --data held_out.parquet --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ttsrl.config.load import load_run
from ttsrl.config.schema import HELD_OUT
from ttsrl.evaluation.suites import read_suite
from ttsrl.runtime.exit_codes import exit_code
from ttsrl.runtime.machine import torch_device


def main() -> None:
    """Exits with 0 done, 1 failed, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m ttsrl.evaluation", description=__doc__)
    parser.add_argument("--config", required=True, help="the run's JSON file")
    parser.add_argument("--model", required=True, help="folder or Hugging Face id")
    parser.add_argument("--suite", default=HELD_OUT, help=f"default: {HELD_OUT}")
    parser.add_argument("--data", required=True, type=Path, help="held_out.parquet")
    parser.add_argument("--out", required=True, type=Path, help="folder for report.json")
    arguments = parser.parse_args()
    sys.exit(exit_code(lambda: _evaluate(arguments)))


def _evaluate(arguments: argparse.Namespace) -> None:
    run = load_run(arguments.config)
    suite = read_suite(run, arguments.suite, arguments.data)

    from transformers.utils import logging

    from ttsrl.evaluation.evaluate import evaluate

    logging.disable_progress_bar()
    report = evaluate(
        run,
        arguments.model,
        suite,
        arguments.out,
        device=torch_device(),
        on_progress=lambda done, total: print(f"evaluated {done}/{total}", flush=True),
    )
    print(json.dumps(report["modes"], indent=2))


if __name__ == "__main__":
    main()
