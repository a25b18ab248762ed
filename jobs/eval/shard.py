"""Evaluate one shard of a run's held-out texts, before and after training, and publish it.

python -m jobs.eval.shard --config run.json --work-dir DIR --of 4 [--index I] [--step N]

For clusters, one pod a shard: the shard's number is JOB_COMPLETION_INDEX where no --index is given.
The policy that the run starts from is evaluated while the merge may still run; then the pod waits
for the merged model of the step. What is published already is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

from jobs.eval.evaluate import Part, Text, identify, protocol_of, read_texts, speak_and_hear
from jobs.eval.waiting import wait_until
from ttsrl.config import RunConfig
from ttsrl.errors import BadInput
from ttsrl.failing import exit_code
from ttsrl.prompts import prepare
from ttsrl.settings import load_run
from ttsrl.storage import RunStore

SUITE = "held_out"
"""Name of the evaluation where none is given."""
SHARD_FILE = "shard.json"
"""Beside rows.jsonl and wav/ of a shard: what its numbers depend on, and how long they took."""
BEFORE = 0
"""Step of the policy that the run starts from."""


def main() -> None:
    """Exits with 0 done, 1 failed, 2 bad input."""
    parser = argument_parser("python -m jobs.eval.shard", __doc__)
    parser.add_argument("--index", type=int, help="which shard, from 0; JOB_COMPLETION_INDEX")
    arguments = parser.parse_args()
    sys.exit(exit_code(lambda: _evaluate(arguments)))


def argument_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """What shards and the step that puts them together are told alike."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--config", required=True, help="the run's JSON file")
    parser.add_argument("--work-dir", required=True, type=Path, help="local folder to work in")
    parser.add_argument("--of", required=True, type=int, help="number of shards")
    parser.add_argument("--step", type=int, help="step of the model; default: the run's last")
    parser.add_argument("--suite", default=SUITE, help=f"name below eval/; default: {SUITE}")
    parser.add_argument(
        "--wait-s", type=float, default=0.0, help="how long to wait for what other jobs publish"
    )
    return parser


def _evaluate(arguments: argparse.Namespace) -> None:
    part = Part(_index(arguments.index, arguments.of), arguments.of)
    run = load_run(arguments.config)
    store = RunStore(run.storage, run.name)
    work_dir: Path = arguments.work_dir.absolute()
    step = run.train.steps if arguments.step is None else arguments.step
    shards = Shards(run, store, arguments.suite, part, work_dir)
    shards.evaluate(BEFORE, run.model)
    if shards.is_done(step):
        return
    wait_for_model(store, step, arguments.wait_s)
    model = work_dir / "model"
    store.storage.pull(store.model(step), model)
    shards.evaluate(step, str(model))


def wait_for_model(store: RunStore, step: int, wait_s: float) -> None:
    """Until the merged model of a step is published. Raises Failure."""

    def missing() -> str:
        if store.storage.is_complete(store.model(step)):
            return ""
        return (
            f"the merged model of step {step}; merged are {store.list_models() or 'none'}, "
            f"checkpoints there are {store.list_checkpoints() or 'none'} (--step N takes another)"
        )

    wait_until(missing, wait_s)


class Shards:
    """One shard of each step's evaluation, on this machine and in storage."""

    def __init__(
        self, run: RunConfig, store: RunStore, suite: str, part: Part, work_dir: Path
    ) -> None:
        self.run = run
        self.store = store
        self.suite = suite
        self.part = part
        self.work_dir = work_dir
        self.texts = _texts(run, work_dir / "data")
        self.protocol = protocol_of(run, self.texts)

    def is_done(self, step: int) -> bool:
        """Whether this shard is published. Raises BadInput if it is one of other settings."""
        prefix = self._prefix(step)
        if not self.store.storage.is_complete(prefix):
            return False
        found = self.store.storage.read_json(f"{prefix}/{SHARD_FILE}") or {}
        if found.get("identity", {}).get("protocol") != self.protocol:
            raise BadInput(
                f"{self.store.storage.address(prefix)} was evaluated with other texts, settings "
                "or judges; give this evaluation another name: --suite NAME"
            )
        print(f"step {step}: shard {self.part.index} of {self.part.of} is done", flush=True)
        return True

    def evaluate(self, step: int, model: str) -> None:
        """Speak, hear and publish this shard with a model, unless it is done."""
        if self.is_done(step):
            return

        import torch
        from transformers.utils import logging

        logging.disable_progress_bar()  # pyright: ignore[reportUnknownMemberType]
        out = self.work_dir / "shards" / f"step_{step:06d}"
        shutil.rmtree(out, ignore_errors=True)
        identity = identify(self.run, model, self.texts)
        rows, synthesis_s = speak_and_hear(
            self.run,
            model,
            self.texts,
            out,
            self.part,
            device="cuda" if torch.cuda.is_available() else "cpu",
            on_progress=lambda done, total: print(f"step {step}: {done}/{total}", flush=True),
        )
        shard = {
            "identity": identity,
            "model": self.run.model if step == BEFORE else self.store.model(step),
            "texts": len(self.texts),
            "rows": len(rows),
            "synthesis_s": synthesis_s,
        }
        (out / SHARD_FILE).write_text(json.dumps(shard, indent=2) + "\n", encoding="utf-8")
        try:
            self.store.storage.publish(out, self._prefix(step))
        except BadInput:
            # a pod that was taken for lost was faster; its seconds differ, or a GPU's last bits
            if not self.is_done(step):
                raise

    def _prefix(self, step: int) -> str:
        return self.store.eval_shard(self.suite, step, self.part.index, self.part.of)


def _index(given: int | None, of: int) -> int:
    named = os.environ.get("JOB_COMPLETION_INDEX", "") if given is None else str(given)
    if not named.isdecimal():
        raise BadInput("which shard? give --index I, or run as a pod of an Indexed Job")
    if int(named) >= of:
        raise BadInput(
            f"shard {named} of {of}: there are only 0 to {of - 1}; --of must be the Job's "
            "completions"
        )
    return int(named)


def _texts(run: RunConfig, folder: Path) -> list[Text]:
    """The held-out texts; the same on every machine, as their split is a hash."""
    held_out = folder / "held_out.parquet"
    if not held_out.is_file():
        prepare(run, folder)
    return read_texts(held_out, run.data.language, run.eval.max_texts)


if __name__ == "__main__":
    main()
