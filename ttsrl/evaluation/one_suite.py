"""Evaluate one model on a suite: the held-out texts, or one of `eval.suites`."""

from __future__ import annotations

import json
from pathlib import Path

from ttsrl.config.load import load_run
from ttsrl.runtime.machine import torch_device

BEFORE = "before"
"""Name of the evaluation of the policy before training."""


def evaluate_suite(config: Path, model: str, suite: str, data: Path, out: Path) -> None:
    """Speak and judge a suite, say how far it is, print the means by mode; `out` gets report.json.

    `model` is a folder or a Hugging Face id, `data` held_out.parquet. Raises BadInput.
    """
    from ttsrl.evaluation.suites import read_suite

    run = load_run(config)
    texts = read_suite(run, suite, data)

    from transformers.utils import logging

    from ttsrl.evaluation.adaptation import write_adaptation
    from ttsrl.evaluation.evaluate import evaluate

    logging.disable_progress_bar()
    report = evaluate(
        run,
        model,
        texts,
        out,
        device=torch_device(),
        on_progress=lambda done, total: print(f"evaluated {done}/{total}", flush=True),
    )
    if out.name != BEFORE:
        report = write_adaptation(run, out, out.with_name(BEFORE))
    modes = {name: mode.model_dump() for name, mode in report.modes.items()}
    print(json.dumps(modes, indent=2))
