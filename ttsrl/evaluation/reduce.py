"""Put the shards of evaluations together: report.json, report.html and best.json in storage.

report.html and best.json are about the held-out texts; report.html tells of the other suites too.
The rows of all shards, in the order of an evaluation that was never divided, give the same numbers
as that. What is published already is not published again; best.json is written anew each time.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.evaluation.adaptation import write_adaptation
from ttsrl.evaluation.best import point_to_best
from ttsrl.evaluation.evaluate import passes_of, write_report
from ttsrl.evaluation.published_run import bring_best, bring_changes, bring_step_log
from ttsrl.evaluation.report.page import write_report as write_page
from ttsrl.evaluation.shard import BEFORE, ShardedEvaluation, named_suites
from ttsrl.evaluation.waiting import wait_until
from ttsrl.records.evaluation import (
    REPORT,
    ROWS,
    SHARD,
    EvaluationReport,
    EvaluationRow,
    EvaluationShard,
)
from ttsrl.records.record import parse, read_lines, write_lines
from ttsrl.storage.run_store import RunStore


def reduce_shards(asked: ShardedEvaluation) -> None:
    """Wait for all shards, put them together, print the rates and where each is published.

    Raises BadInput, Failure, StorageError.
    """
    run = load_run(asked.config)
    store = RunStore(run.storage, run.name)
    step = run.train.steps if asked.step is None else asked.step
    work_dir = asked.work_dir.absolute()
    every = [
        Sharded(run, store, suite, name, asked.of, work_dir)
        for suite, name in named_suites(run, asked.suite, asked.name).items()
    ]
    every.sort(key=lambda one: one.suite == HELD_OUT)  # its page tells of the others
    wait_until(
        lambda: "; ".join(what for one in every if (what := one.missing([BEFORE, step]))),
        asked.wait_s,
    )
    for evaluation in every:
        report = evaluation.reduce(step)
        judge = report.verdict_judge.name
        for mode, found in report.modes.items():
            heard = found.judges[judge]
            rates = f"CER {_rate(heard.mean_cer)}, WER {_rate(heard.mean_wer)}"
            print(f"{evaluation.name}: {rates} ({judge}, {mode})")
        print(store.storage.address(store.eval(evaluation.name, step)))


def _rate(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.4f}"


@dataclass(frozen=True)
class Sharded:
    """An evaluation in `of` shards, and the local folder in which it is put together."""

    run: RunConfig
    store: RunStore
    suite: str
    name: str
    """Its name below eval/."""
    of: int
    work_dir: Path

    def missing(self, steps: list[int]) -> str:
        """What is not published yet of these steps' shards; nothing where the whole is."""
        storage = self.store.storage
        words: list[str] = []
        for step in steps:
            if storage.is_complete(self.store.eval(self.name, step)):
                continue
            absent = [
                str(index)
                for index in range(self.of)
                if not storage.is_complete(self._key(step, index))
            ]
            if absent:
                words.append(f"shards {', '.join(absent)} of {self.of} of {self.name}, step {step}")
        return "; ".join(words)

    def reduce(self, step: int) -> EvaluationReport:
        """Publish both evaluations; for the held-out texts also the page and best.json.

        Returns the step's report. Raises BadInput, Failure, StorageError.
        """
        evaluations = self.work_dir / "eval"
        folder = evaluations if self.suite == HELD_OUT else evaluations / self.suite
        before, after = folder / "before", folder / "after"
        rollbacks = self.store.set_backs().done
        self._bring(BEFORE, before)
        report = self._bring(step, after)
        if not self.store.storage.is_complete(self.store.eval(self.name, step)):
            report = write_adaptation(self.run, after, before)
        if self.suite == HELD_OUT and not (after / "report.html").exists():
            (self.work_dir / "run.json").write_text(dump_run(self.run), encoding="utf-8")
            bring_step_log(self.store, step, self.work_dir)
            bring_best(self.store, self.work_dir)  # of the evaluations during training
            bring_changes(self.run, self.store, self.work_dir)
            shutil.copy(write_page(self.work_dir), after)
        for at, brought in ((BEFORE, before), (step, after)):
            self._publish(at, brought, rollbacks)
        if self.suite == HELD_OUT:
            point_to_best(self.run, self.store, self.name, self.work_dir)
        return report

    def _bring(self, step: int, out: Path) -> EvaluationReport:
        """The evaluation of a step into a local folder: as published, or from its shards."""
        key = self.store.eval(self.name, step)
        if self.store.storage.is_complete(key):
            self.store.storage.pull(key, out, replace=True)
            return parse(EvaluationReport, (out / REPORT).read_bytes(), out / REPORT)
        shutil.rmtree(out, ignore_errors=True)
        return self._combine(step, out)

    def _combine(self, step: int, out: Path) -> EvaluationReport:
        rows: list[EvaluationRow] = []
        shards: list[EvaluationShard] = []
        (out / "wav").mkdir(parents=True)
        for index in range(self.of):
            folder = self.work_dir / "shards" / self.name / f"step_{step:06d}-{index:05d}"
            self.store.storage.pull(self._key(step, index), folder, replace=True)
            shards.append(parse(EvaluationShard, (folder / SHARD).read_bytes(), folder / SHARD))
            rows += read_lines(EvaluationRow, folder / ROWS)
            for wav in (folder / "wav").glob("*.wav"):
                shutil.copy(wav, out / "wav")
        order = {(this.mode, this.seed): place for place, this in enumerate(passes_of(self.run))}
        self._check(step, shards, rows, len(order))
        rows.sort(key=lambda row: (order[row.mode, row.seed], row.index))
        write_lines(out / ROWS, rows)
        synthesis_s = sum(shard.synthesis_s for shard in shards)
        return write_report(
            self.run,
            out,
            shards[0].identity,
            shards[0].model,
            self.suite,
            shards[0].sampling,
            shards[0].judges,
            rows,
            synthesis_s,
        )

    def _check(
        self, step: int, shards: list[EvaluationShard], rows: list[EvaluationRow], passes: int
    ) -> None:
        different = [i for i, one in enumerate(shards) if one.identity != shards[0].identity]
        if different:
            raise BadInput(
                f"shards 0 and {different[0]} of step {step} spoke with different models, texts "
                "or settings; evaluate under another name: --as NAME"
            )
        if len(rows) != shards[0].texts * passes:
            raise Failure(
                f"the shards of step {step} hold {len(rows)} utterances of "
                f"{shards[0].texts * passes}; evaluate again with --as NAME"
            )

    def _publish(self, step: int, folder: Path, rollbacks: int) -> None:
        key = self.store.eval(self.name, step)
        if not self.store.storage.is_complete(key):
            self.store.publish_of_step(folder, key, step, rollbacks)

    def _key(self, step: int, index: int) -> str:
        return self.store.eval_shard(self.name, step, index, self.of)
