"""Evaluation with the tiny stack, and what becomes of a judge that fails."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pyarrow import parquet

from support.records import row_of
from ttsrl.audio.waveform import Waveform
from ttsrl.config.evaluation import HELD_OUT, QualityConfig, SamplingConfig
from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import prepare
from ttsrl.errors import BadInput
from ttsrl.evaluation import compare
from ttsrl.evaluation.evaluate import TEXTS_WITH_WAV, evaluate
from ttsrl.evaluation.judge import Judge
from ttsrl.evaluation.one_suite import evaluate_suite
from ttsrl.evaluation.protocol import protocol_of
from ttsrl.evaluation.quality import Quality
from ttsrl.evaluation.report.page import write_report as write_page
from ttsrl.evaluation.suites import held_out_suite
from ttsrl.evaluation.summary import mean_by_text, summarise
from ttsrl.records.evaluation import ROWS, EvaluationRow, JudgeSummary, ModeSummary, Verdict
from ttsrl.records.record import read_lines
from ttsrl.records.sampling import Sampling
from ttsrl.runtime.follow import follow
from ttsrl.runtime.job import Job
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.distill_mos import DistillMosScorer
from ttsrl.synthesis.synthesiser import SynthesisedSpeech
from ttsrl.text.normalise import cer, wer

POLICY = "examples/tiny/policy"
TEXTS, BATCH = 10, 4


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return load_run(
        "examples/tiny/run.json",
        [f"eval.max_texts={TEXTS}", f"eval.batch_size={BATCH}", "eval.seeds=[0, 1]"],
    )


@pytest.fixture(scope="module")
def held_out(run: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(run, folder)
    return folder / "held_out.parquet"


def read_rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]


def test_evaluation_of_the_tiny_policy(run: RunConfig, held_out: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    report = evaluate(
        run,
        POLICY,
        held_out_suite(run, held_out),
        tmp_path,
        on_progress=lambda *progress: seen.append(progress),
    )
    rows = read_rows(tmp_path)

    wanted = parquet.read_table(held_out).slice(0, TEXTS).to_pylist()
    texts = [row["reward_model"]["ground_truth"] for row in wanted]
    passes = [("sampled", 0), ("sampled", 1), ("greedy", 0)]
    assert [(r["mode"], r["seed"], r["text"]) for r in rows] == [
        (*this, text) for this in passes for text in texts
    ]
    assert [done for done, _ in seen] == [4, 8, 10, 14, 18, 20, 24, 28, 30]
    assert {total for _, total in seen} == {3 * TEXTS}

    for row in rows:
        for verdict in row["judges"].values():
            assert verdict["error"] is None
            assert verdict["cer"] == cer(row["text"], verdict["transcript"], "en")
            assert verdict["wer"] == wer(row["text"], verdict["transcript"], "en")
    first, second = (
        [r["judges"]["judge"]["transcript"] for r in rows if (r["mode"], r["seed"]) == p]
        for p in passes[:2]
    )
    assert first != second

    for mode in ("sampled", "greedy"):
        of_mode = [row for row in rows if row["mode"] == mode]
        found = report.modes[mode]
        written = [row for row in read_lines(EvaluationRow, tmp_path / ROWS) if row.mode == mode]
        assert found == summarise(written, ["judge", "whisper"])
        assert found.end_token_rate == np.mean([row["finished"] for row in of_mode])
        expected = np.mean([row["judges"]["whisper"]["cer"] for row in of_mode])
        assert found.judges["whisper"].mean_cer == pytest.approx(expected)

    with_wav = [row for row in rows if row["wav"]]
    assert len(with_wav) == 2 * TEXTS_WITH_WAV
    for row in with_wav:
        assert soundfile.info(tmp_path / row["wav"]).duration == pytest.approx(row["duration_s"])


def test_same_model_same_rows_and_no_second_evaluation(
    run: RunConfig, held_out: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        evaluate(run, POLICY, held_out_suite(run, held_out), tmp_path / folder)
    assert read_rows(tmp_path / "a") == read_rows(tmp_path / "b")

    written = (tmp_path / "a" / "rows.jsonl").stat().st_mtime_ns
    evaluate(run, POLICY, held_out_suite(run, held_out), tmp_path / "a")
    assert (tmp_path / "a" / "rows.jsonl").stat().st_mtime_ns == written

    fewer = run.model_copy(update={"eval": run.eval.model_copy(update={"max_texts": 3})})
    report = evaluate(fewer, POLICY, held_out_suite(fewer, held_out), tmp_path / "a")
    assert report.texts == 3
    assert len(read_rows(tmp_path / "a")) == 9


def test_a_job_evaluates_and_says_how_far_it_is(
    run: RunConfig, held_out: Path, tmp_path: Path
) -> None:
    fewer = run.model_copy(update={"eval": run.eval.model_copy(update={"max_texts": 2})})
    (tmp_path / "run.json").write_text(dump_run(fewer))

    def job(config: str) -> Job:
        arguments = (tmp_path / config, POLICY, HELD_OUT, held_out, tmp_path / "out")
        return Job("evaluate", evaluate_suite, arguments, tmp_path / "log")

    done = job("run.json")
    follow(done)
    assert "evaluated 6/6" in done.output.lines()
    assert (tmp_path / "out" / "report.json").is_file()

    failed = job("nothing.json")
    with pytest.raises(BadInput, match=r"nothing\.json"):
        follow(failed)
    [error] = failed.output.lines()
    assert error.startswith("error: ")


def test_held_out_texts_must_be_there(run: RunConfig, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no held-out texts"):
        held_out_suite(run, tmp_path / "held_out.parquet")
    (tmp_path / "held_out.parquet").write_bytes(b"no parquet")
    with pytest.raises(BadInput, match="is not a parquet file of prompts"):
        held_out_suite(run, tmp_path / "held_out.parquet")


class Stub:
    """A recogniser that hears "one" and cannot stand loud waveforms."""

    max_duration_s = 2.0
    languages = None

    def __init__(self) -> None:
        self.heard: list[list[float]] = []

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        self.heard.append([len(waveform) / sample_rate_hz for waveform in waveforms])
        if any(waveform.max() > 0.9 for waveform in waveforms):
            raise RuntimeError("too loud")
        return ["one"] * len(waveforms)


def speech(text: str, seconds: float, level: float = 0.1) -> SynthesisedSpeech:
    return SynthesisedSpeech(text, [1], True, np.full(int(seconds * 1000), level, np.float32), 1000)


@pytest.fixture
def judge(run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> tuple[Judge, Stub]:
    stub = Stub()
    monkeypatch.setattr("ttsrl.evaluation.judge.load_judge", lambda *_: stub)
    return Judge(run.eval.judges[0], "cpu", BATCH), stub


def test_a_failed_measurement_is_an_error_and_no_error_rate(judge: tuple[Judge, Stub]) -> None:
    listener, stub = judge
    verdicts = listener.listen(
        [speech("one", 1), speech("two", 1, 1.0), speech("six", 1)], ["en"] * 3
    )
    assert [v.cer for v in verdicts] == [0.0, None, 1.0]
    assert verdicts[1] == Verdict(error="RuntimeError: too loud")
    assert stub.heard == [[1, 1, 1], [1], [1], [1]]


def test_no_speech_is_an_empty_transcript_and_too_much_is_cut(judge: tuple[Judge, Stub]) -> None:
    listener, stub = judge
    verdicts = listener.listen([speech("one", 0), speech("one", 5), speech("one", 2)], ["en"] * 3)
    assert verdicts == [
        Verdict(transcript="", cer=1.0, wer=1.0),
        Verdict(transcript="one", cer=0.0, wer=0.0, cut=True),
        Verdict(transcript="one", cer=0.0, wer=0.0),
    ]
    assert stub.heard == [[2, 2]]


def row(index: int, text: str, cer: float | None) -> EvaluationRow:
    similarity = None if index else 0.5
    return row_of(index, {"judge": cer}, text=text, finished=index == 0, similarity=similarity)


def test_summary_weighs_texts_and_characters_as_it_says() -> None:
    rows = [row(0, "abcd", 0.5), row(0, "abcd", 0.0), row(1, "a" * 16, 1.0), row(2, "b", None)]
    assert mean_by_text(rows, lambda r: r.judges["judge"].cer) == {0: 0.25, 1: 1.0}
    judge = JudgeSummary(
        mean_cer=0.625,
        mean_wer=1.25,
        corpus_cer=(2 + 0 + 16) / 24,
        exact_share=1 / 3,
        cut=0,
        errors=1,
    )
    found = summarise(rows, ["judge"])
    assert found.mean_duration_s == pytest.approx(0.8)
    assert found == ModeSummary(
        utterances=4,
        end_token_rate=0.5,
        mean_duration_s=found.mean_duration_s,
        mean_tokens=10,
        mean_similarity=0.5,
        judges={"judge": judge},
    )


def test_without_greedy_speech_there_is_none_anywhere(
    run: RunConfig, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = run.eval.model_copy(update={"greedy": False, "max_texts": 3, "seeds": [0]})
    run = run.model_copy(update={"eval": short})
    for side in ("before", "after"):
        report = evaluate(run, POLICY, held_out_suite(run, held_out), tmp_path / "eval" / side)
        assert list(report.modes) == ["sampled"]
    assert len(read_rows(tmp_path / "eval" / "after")) == 3
    compare.show(*(str(tmp_path / "eval" / side) for side in ("before", "after")), as_json=False)
    assert "sampled" in (told := capsys.readouterr().out) and "greedy" not in told
    (tmp_path / "run.json").write_text(dump_run(run))
    page = write_page(tmp_path).read_text()
    assert "Sampled, temperature 1" in page and "reedy" not in page.split("Resolved")[0]


def test_how_speech_is_drawn_is_the_evaluation_s_own(
    run: RunConfig, held_out: Path, tmp_path: Path
) -> None:
    cold = {"sampling": SamplingConfig(temperature=0.01, max_speech_tokens=20), "max_texts": 3}
    run = run.model_copy(update={"eval": run.eval.model_copy(update=cold)})
    suite = held_out_suite(run, held_out)
    report = evaluate(run, POLICY, suite, tmp_path / "cold")
    assert report.sampling == Sampling(temperature=0.01, max_speech_tokens=20)
    rows = read_rows(tmp_path / "cold")
    tokens = {
        mode: [row["tokens"] for row in rows if row["mode"] == mode and row["seed"] == 0]
        for mode in ("sampled", "greedy")
    }
    assert tokens["sampled"] == tokens["greedy"]  # so cold that only the likeliest is drawn
    assert max(tokens["greedy"]) <= 20

    warm = run.model_copy(
        update={"eval": run.eval.model_copy(update={"sampling": SamplingConfig(temperature=0.9)})}
    )
    assert protocol_of(warm, held_out_suite(warm, held_out)) != report.identity.protocol


def test_a_quality_model_hears_every_utterance(
    run: RunConfig, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"quality": [QualityConfig(type="distillmos")], "max_texts": 3, "seeds": [0]}
    run = run.model_copy(update={"eval": run.eval.model_copy(update=asked)})
    report = evaluate(run, POLICY, held_out_suite(run, held_out), tmp_path / "a")
    rows = read_rows(tmp_path / "a")
    for row in rows:
        waveform, rate_hz = soundfile.read(tmp_path / "a" / row["wav"], dtype="float32")
        scorer = DistillMosScorer("cpu", 4)
        [raw] = scorer.score([SpeechSample(waveform, rate_hz, row["text"], "en")])
        # the file is rounded to 16 bits
        assert row["quality"]["distillmos"] == pytest.approx(raw["distillmos"], abs=0.02)
    greedy = [row["quality"]["distillmos"] for row in rows if row["mode"] == "greedy"]
    assert report.modes["greedy"].mean_quality == {"distillmos": pytest.approx(np.mean(greedy))}
    compare.show(str(tmp_path / "a"), str(tmp_path / "a"), as_json=False)
    assert "Opinion score, distillmos" in capsys.readouterr().out

    without = run.model_copy(update={"eval": run.eval.model_copy(update={"quality": []})})
    assert protocol_of(without, held_out_suite(run, held_out)) != report.identity.protocol


def test_a_quality_model_that_fails_has_no_opinion(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_on_long(self: Any, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        if any(len(speech.waveform) > 10 for speech in speeches):
            raise RuntimeError("out of memory")
        return [{"distillmos": 3.0}] * len(speeches)

    monkeypatch.setattr(DistillMosScorer, "score", fail_on_long)
    quality = Quality(QualityConfig(type="distillmos"), "cpu", 4)
    lengths = 5, 20, 0, 7
    speeches = [
        SynthesisedSpeech("a", [1], True, np.zeros(length, np.float32), 16_000)
        for length in lengths
    ]
    assert quality.of(speeches, ["en"] * 4) == [3.0, None, None, 3.0]
