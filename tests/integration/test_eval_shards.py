"""An evaluation in shards gives what an undivided one gives, and goes on where it was cut."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.records import report_of, row_of
from ttsrl.config.evaluation import HELD_OUT
from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, Failure
from ttsrl.evaluation.evaluate import EvalShard, evaluate, passes_of
from ttsrl.evaluation.published_run import bring_run
from ttsrl.evaluation.reduce import Sharded
from ttsrl.evaluation.report.inputs import read_run_folder
from ttsrl.evaluation.report.page import write_report as write_page
from ttsrl.evaluation.shard import Shards, read_or_prepare
from ttsrl.evaluation.suites import held_out_suite
from ttsrl.evaluation.waiting import wait_until
from ttsrl.records.evaluation import MODES, REPORT, ROWS, EvaluationReport
from ttsrl.records.record import to_text, write_lines
from ttsrl.storage.errors import StorageError
from ttsrl.storage.run_store import RunStore

POLICY = "examples/tiny/policy"
TEXTS, BATCH, OF = 11, 4, 2


@pytest.fixture
def run(tmp_path: Path) -> RunConfig:
    return load_run(
        "examples/tiny/run.json",
        [
            f"eval.max_texts={TEXTS}",
            f"eval.batch_size={BATCH}",
            "eval.seeds=[0, 1]",
            "eval.bootstrap_samples=100",
            "train.steps=3",
            'eval.judges=[{"name": "judge", "type": "ctc", "model": "judge"}]',
            f"storage={tmp_path / 'storage'}",
        ],
    )


@pytest.fixture
def store(run: RunConfig, tmp_path: Path) -> RunStore:
    """Storage with the merged model of step 3 and the log of the training that made it."""
    store = RunStore(run.storage, run.name)
    store.storage.publish(Path(POLICY), store.model(3))
    log = tmp_path / "checkpoint" / "log"
    log.mkdir(parents=True)
    (log / "steps.jsonl").write_text("")
    store.storage.publish(log.parent, store.checkpoint(3))
    return store


def shards(run: RunConfig, store: RunStore, index: int, work_dir: Path) -> Shards:
    suite = read_or_prepare(run, HELD_OUT, work_dir / "data")
    return Shards(run, store, suite, HELD_OUT, EvalShard(index, OF), work_dir)


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def comparable(report: EvaluationReport) -> EvaluationReport:
    return report.model_copy(update={"tokens_per_s": 0.0, "model": ""})


def test_shards_put_together_are_the_undivided_evaluation(
    run: RunConfig, store: RunStore, tmp_path: Path
) -> None:
    sharded = Sharded(run, store, HELD_OUT, HELD_OUT, OF, tmp_path / "reduce")
    for index in range(OF):
        left = ", ".join(map(str, range(index, OF)))
        assert f"shards {left} of 2 of held_out, step 0" in sharded.missing([0, 3])
        pod = shards(run, store, index, tmp_path / f"pod-{index}")
        pod.evaluate(0, run.model)
        pod.evaluate(3, POLICY)
    assert sharded.missing([0, 3]) == ""
    report = sharded.reduce(3)

    held_out = tmp_path / "pod-0" / "data" / "held_out.parquet"
    whole = evaluate(run, POLICY, held_out_suite(run, held_out), tmp_path / "whole")
    assert comparable(report) == comparable(whole)
    final = tmp_path / "final"
    store.storage.pull(store.eval(HELD_OUT, 3), final)
    assert (final / "rows.jsonl").read_bytes() == (tmp_path / "whole" / "rows.jsonl").read_bytes()
    assert {p.name: p.read_bytes() for p in (final / "wav").iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "whole" / "wav").iterdir()
    }
    assert "held-out texts" in (final / "report.html").read_text()

    with pytest.raises(BadInput, match="no run is published"):
        bring_run(store, tmp_path / "brought")
    store.storage.write_text(store.run_json, dump_run(run))
    store.storage.write_text(store.steps_log, "")
    bring_run(store, tmp_path / "brought")
    brought = read_run_folder(tmp_path / "brought")
    assert brought.after is not None and brought.before is not None
    assert brought.after.report == report
    assert (tmp_path / "brought/train/steps.jsonl").exists()
    assert "held-out texts" in write_page(tmp_path / "brought").read_text()

    best = store.storage.read_json(store.best)
    assert best is not None
    assert (best["step"], best["model"]) == (3, store.model(3))
    judge = run.eval.judges[0].name
    assert best["scores"]["cer"] == whole.modes["sampled"].judges[judge].mean_cer
    assert best["scores"]["cer_before"] == best["scores"]["cer"]
    assert best["scores"]["cer_change_low"] == best["scores"]["cer_change_high"] == 0


def test_a_shard_that_is_done_is_not_done_again(
    run: RunConfig, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards(run, store, 1, tmp_path / "first").evaluate(0, run.model)
    monkeypatch.setattr("ttsrl.evaluation.shard.speak_and_hear", None)
    restarted = shards(run, store, 1, tmp_path / "second")
    restarted.evaluate(0, run.model)
    assert restarted.is_done(0)
    assert not restarted.is_done(3)
    with pytest.raises(TypeError):
        restarted.evaluate(3, POLICY)

    other = run.model_copy(update={"eval": run.eval.model_copy(update={"seeds": [7]})})
    with pytest.raises(BadInput, match=r"other texts, settings or judges.*--as"):
        shards(other, store, 1, tmp_path / "third").is_done(0)


def test_a_pod_that_was_taken_for_lost_and_came_second_is_done_too(
    run: RunConfig, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faster pod's shard has other seconds, so the slower one's is another content."""
    slow = shards(run, store, 1, tmp_path / "slow")
    publish = store.storage.publish

    def publish_second(folder: Path, prefix: str) -> None:
        monkeypatch.setattr(store.storage, "publish", publish)
        shards(run, store, 1, tmp_path / "fast").evaluate(0, run.model)
        publish(folder, prefix)

    monkeypatch.setattr(store.storage, "publish", publish_second)
    slow.evaluate(0, run.model)
    assert slow.is_done(0)


def test_more_shards_than_batches_and_a_reduce_cut_in_the_middle(
    run: RunConfig, store: RunStore, tmp_path: Path
) -> None:
    few = run.model_copy(update={"eval": run.eval.model_copy(update={"max_texts": 3})})
    for index in range(OF):
        pod = shards(few, store, index, tmp_path / f"pod-{index}")
        pod.evaluate(0, few.model)
        pod.evaluate(3, POLICY)
    sharded = Sharded(few, store, HELD_OUT, HELD_OUT, OF, tmp_path / "reduce")
    sharded.reduce(3)
    published = tmp_path / "storage" / store.eval(HELD_OUT, 3)
    (published / "MANIFEST.json").unlink()  # as where a pod died before the manifest
    (tmp_path / "storage" / store.best).unlink()
    shutil.rmtree(tmp_path / "reduce")
    again = Sharded(few, store, HELD_OUT, HELD_OUT, OF, tmp_path / "reduce").reduce(3)
    assert again.texts == 3
    assert store.storage.is_complete(store.eval(HELD_OUT, 3))
    assert (tmp_path / "storage" / store.best).is_file()

    shutil.rmtree(tmp_path / "reduce")
    page = (published / "report.html").read_bytes()
    assert Sharded(few, store, HELD_OUT, HELD_OUT, OF, tmp_path / "reduce").reduce(3) == again
    assert (published / "report.html").read_bytes() == page
    assert len(rows_of(published)) == 3 * len(passes_of(few))


def test_best_is_the_lowest_cer_and_of_equals_the_earlier(
    run: RunConfig, store: RunStore, tmp_path: Path
) -> None:
    from ttsrl.evaluation.best import point_to_best

    judge = run.eval.judges[0].name

    def publish(step: int, cer: float, protocol: str = "p", merged: bool = True) -> None:
        folder = tmp_path / f"eval-{step}"
        folder.mkdir()
        identity = {"model": "m", "protocol": protocol}
        report = report_of({mode: {judge: cer} for mode in MODES}, identity=identity)
        (folder / REPORT).write_text(to_text(report))
        write_lines(folder / ROWS, [row_of(0, {judge: cer}, mode="sampled")])
        store.storage.publish(folder, store.eval("s", step))
        if merged and step:
            store.storage.publish(Path(POLICY), store.model(step))

    assert point_to_best(run, store, "s", tmp_path) is None
    publish(0, 0.30)
    assert point_to_best(run, store, "s", tmp_path) is None
    publish(10, 0.12)
    publish(20, 0.10)
    publish(30, 0.10)
    publish(40, 0.01, protocol="other")
    publish(50, 0.02, merged=False)
    assert point_to_best(run, store, "s", tmp_path) == 20
    best = store.storage.read_json(store.best)
    assert best is not None
    assert best["scores"]["cer_change"] == pytest.approx(-0.2)


def test_commands_wait_for_each_other_with_a_deadline(
    run: RunConfig, store: RunStore, tmp_path: Path
) -> None:
    later = run.model_copy(
        update={
            "train": run.train.model_copy(update={"steps": 5}),
            "eval": run.eval.model_copy(update={"max_texts": 2, "seeds": [0]}),
        }
    )
    (tmp_path / "run.json").write_text(dump_run(later))

    def command(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        given = ["--config", str(tmp_path / "run.json"), "--work-dir", str(tmp_path / "work")]
        return subprocess.run(
            [sys.executable, "-m", "ttsrl", "job", name, *given, *arguments],
            capture_output=True,
            text=True,
        )

    merge = command("merge", "--wait-s", "0")
    assert merge.returncode == 1
    assert "the checkpoint of step 5; published are [3]" in merge.stderr
    reduce = command("eval-reduce", "--of", "1")
    assert reduce.returncode == 1
    assert "shards 0 of 1 of held_out, step 0; shards 0 of 1 of held_out, step 5" in reduce.stderr
    shard = command("eval-shard", "--of", "1", "--index", "0")
    assert shard.returncode == 1
    assert "held_out, step 0: 4/4\n" in shard.stdout
    assert "the merged model of step 5; merged are [3]" in shard.stderr
    third = command("eval-shard", "--of", "1", "--index", "0", "--step", "3")
    assert (third.returncode, third.stderr) == (0, "")
    assert "held_out, step 0: shard 0 of 1 is done" in third.stdout
    done = command("eval-reduce", "--of", "1", "--step", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("eval/held_out/step_000003")
    wrong = command("eval-shard", "--of", "2", "--index", "2")
    assert (wrong.returncode, "only 0 to 1" in wrong.stderr) == (2, True)


def test_waiting_says_for_what_and_outlives_storage_that_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = iter(["the model", StorageError("S3 is busy"), "the model", ""])

    def missing() -> str:
        answer = next(answers)
        if isinstance(answer, StorageError):
            raise answer
        return answer

    wait_until(missing, deadline_s=60.0, poll_s=0.001)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(" (")[0] for line in said] == [
        "waiting for the model",
        "waiting for storage: S3 is busy",
        "waiting for the model",
    ]
    with pytest.raises(Failure, match=r"waited 0:00 for the model"):
        wait_until(lambda: "the model", deadline_s=0.0)
