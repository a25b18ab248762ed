"""Put the shards of an evaluation together: report.json, report.html and best.json in storage.

python -m jobs.eval.reduce --config run.json --work-dir DIR --of 4 [--step N]

The rows of all shards, in the order of an evaluation that was never divided, give the same numbers
as that. What is published already is not published again; best.json is written anew each time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.eval.best import point_to_best
from jobs.eval.evaluate import passes_of, write_report
from jobs.eval.report.page import write_report as write_page
from jobs.eval.shard import BEFORE, SHARD_FILE, argument_parser
from jobs.eval.waiting import wait_until
from ttsrl.config import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.failing import exit_code
from ttsrl.settings import dump_run, load_run
from ttsrl.storage import RunStore

LOG_FOLDER = "log/"
"""Where a checkpoint keeps the step log."""


def main() -> None:
    """Exits with 0 done, 1 failed, 2 bad input."""
    arguments = argument_parser("python -m jobs.eval.reduce", __doc__).parse_args()
    sys.exit(exit_code(lambda: _reduce(arguments)))


def _reduce(arguments: argparse.Namespace) -> None:
    run = load_run(arguments.config)
    store = RunStore(run.storage, run.name)
    step = run.train.steps if arguments.step is None else arguments.step
    evaluation = Sharded(run, store, arguments.suite, arguments.of, arguments.work_dir.absolute())
    wait_until(lambda: evaluation.missing([BEFORE, step]), arguments.wait_s)
    report = evaluation.reduce(step)
    judge = run.eval.judges[0].name
    for mode, found in report["modes"].items():
        print(f"CER {found['judges'][judge]['mean_cer']:.4f} ({judge}, {mode})")
    print(store.storage.address(f"{store.eval(arguments.suite, step)}/report.html"))


@dataclass(frozen=True)
class Sharded:
    """An evaluation in `of` shards, and the local folder in which it is put together."""

    run: RunConfig
    store: RunStore
    suite: str
    of: int
    work_dir: Path

    def missing(self, steps: list[int]) -> str:
        """What is not published yet of these steps' shards; nothing where the whole is."""
        storage = self.store.storage
        words: list[str] = []
        for step in steps:
            if storage.is_complete(self.store.eval(self.suite, step)):
                continue
            absent = [
                str(index)
                for index in range(self.of)
                if not storage.is_complete(self._key(step, index))
            ]
            if absent:
                words.append(f"shards {', '.join(absent)} of {self.of} of step {step}")
        return "; ".join(words)

    def reduce(self, step: int) -> dict[str, Any]:
        """Publish both evaluations and the page, and point to the best model.

        Returns what report.json of the step holds. Raises BadInput, Failure, StorageError.
        """
        before, after = (self.work_dir / "eval" / name for name in ("before", "after"))
        self._bring(BEFORE, before)
        report = self._bring(step, after)
        (self.work_dir / "run.json").write_text(dump_run(self.run), encoding="utf-8")
        if not (after / "report.html").exists():
            self._bring_step_log(step)
            shutil.copy(write_page(self.work_dir), after)
        for at, folder in ((BEFORE, before), (step, after)):
            self._publish(at, folder)
        point_to_best(self.run, self.store, self.suite, self.work_dir)
        return report

    def _bring(self, step: int, out: Path) -> dict[str, Any]:
        """The evaluation of a step into a local folder: as published, or from its shards."""
        key = self.store.eval(self.suite, step)
        if self.store.storage.is_complete(key):
            self.store.storage.pull(key, out, replace=True)
            return json.loads((out / "report.json").read_text(encoding="utf-8"))
        shutil.rmtree(out, ignore_errors=True)
        return self._combine(step, out)

    def _combine(self, step: int, out: Path) -> dict[str, Any]:
        rows: list[dict[str, Any]] = []
        shards: list[dict[str, Any]] = []
        (out / "wav").mkdir(parents=True)
        for index in range(self.of):
            folder = self.work_dir / "shards" / f"step_{step:06d}-{index:05d}"
            self.store.storage.pull(self._key(step, index), folder, replace=True)
            shards.append(json.loads((folder / SHARD_FILE).read_text(encoding="utf-8")))
            lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
            rows += [json.loads(line) for line in lines]
            for wav in (folder / "wav").glob("*.wav"):
                shutil.copy(wav, out / "wav")
        order = {(this.mode, this.seed): place for place, this in enumerate(passes_of(self.run))}
        self._check(step, shards, rows, len(order))
        rows.sort(key=lambda row: (order[row["mode"], row["seed"]], row["index"]))
        with (out / "rows.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        synthesis_s = sum(shard["synthesis_s"] for shard in shards)
        return write_report(
            self.run, out, shards[0]["identity"], shards[0]["model"], rows, synthesis_s
        )

    def _check(
        self, step: int, shards: list[dict[str, Any]], rows: list[dict[str, Any]], passes: int
    ) -> None:
        strangers = [i for i, one in enumerate(shards) if one["identity"] != shards[0]["identity"]]
        if strangers:
            raise BadInput(
                f"shards 0 and {strangers[0]} of step {step} spoke with different models, texts "
                "or settings; evaluate under another name: --suite NAME"
            )
        if len(rows) != shards[0]["texts"] * passes:
            raise Failure(
                f"the shards of step {step} hold {len(rows)} utterances of "
                f"{shards[0]['texts'] * passes}; evaluate again with --suite NAME"
            )

    def _bring_step_log(self, step: int) -> None:
        """The log of training up to the step, out of its checkpoint."""
        key = self.store.checkpoint(step)
        if not self.store.storage.is_complete(key):
            return  # a checkpoint may be deleted once its model is merged; the page does without
        folder = self.work_dir / "checkpoint"
        self.store.storage.pull(
            key, folder, replace=True, wanted=lambda path: path.startswith(LOG_FOLDER)
        )
        shutil.copytree(folder / LOG_FOLDER, self.work_dir / "train", dirs_exist_ok=True)

    def _publish(self, step: int, folder: Path) -> None:
        key = self.store.eval(self.suite, step)
        if not self.store.storage.is_complete(key):
            self.store.storage.publish(folder, key)

    def _key(self, step: int, index: int) -> str:
        return self.store.eval_shard(self.suite, step, index, self.of)


if __name__ == "__main__":
    main()
