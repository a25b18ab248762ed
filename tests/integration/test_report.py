"""The report's numbers and words: what it says of a difference, and of what is missing."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from report_folder import TEXTS_WITH_WAV, write_changes, write_run_folder

from ttsrl.errors import BadInput
from ttsrl.evaluation.compare import read
from ttsrl.evaluation.report.charts import MAX_POINTS, Series, line_chart
from ttsrl.evaluation.report.comparison import compare, verdict
from ttsrl.evaluation.report.inputs import read_run_folder
from ttsrl.evaluation.report.listening import Recorder, before_and_after, marked, rollouts
from ttsrl.evaluation.report.page import render, write_report
from ttsrl.evaluation.report.svg import nice_ticks
from ttsrl.records.best import BEST, BestModel
from ttsrl.records.guard import GUARDS, GuardEvent
from ttsrl.records.record import read_lines, to_text, write_lines
from ttsrl.records.step import TrainingStep
from ttsrl.storage.local_s3 import LocalS3
from ttsrl.storage.run_store import RunStore


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run_folder(tmp_path_factory.mktemp("run") / "run", steps=3)


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def change_rows(folder: Path, side: str, change: Any) -> None:
    path = folder / "eval" / side / "rows.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        change(row)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def set_cer(judge: str, mode: str, of_index: Any) -> Any:
    def change(row: dict[str, Any]) -> None:
        if row["mode"] == mode:
            row["judges"][judge] |= {"cer": of_index(row["index"]), "error": None}

    return change


def sentences(folder: Path) -> str:
    read = read_run_folder(folder)
    return " ".join(verdict(read, compare(read)))


def test_verdict_of_a_cut(finished: Path) -> None:
    said = sentences(finished)
    assert re.match(
        r"As measured by judge, which is independent of the reward, GRPO cut the character error "
        r"rate from \d+\.\d % to \d+\.\d % \(−\d+ %; 95 % interval −\d+ % to −\d+ %\) in sampled "
        r"speech \(temperature 1\), and from .* in greedy speech, on 60 held-out texts\. "
        r"whisper, kin of what gave the reward, hears a fall of the error rate by \d+ % "
        r"and judge a fall of the error rate by \d+ % in sampled speech: a difference of "
        r"[+−]\d+ points \(adaptation; 95 % interval −\d+ points to \+\d+ points\)\.$",
        said,
    )


def test_a_verdict_that_rests_on_kin_or_on_what_is_not_known_says_so(folder: Path) -> None:
    path = folder / "eval" / "after" / "report.json"
    report = json.loads(path.read_text())
    for kinship, begins, ends in (
        (
            "kin",
            "As measured by judge, which is kin to what gave the reward, GRPO cut",
            "another lineage",
        ),
        ("unknown", "As measured by judge, which gave no reward and may be kin", "is known."),
    ):
        report["judges"][0]["kinship"] = kinship
        path.write_text(json.dumps(report))
        said = sentences(folder)
        assert said.startswith(begins) and said.rstrip(".").endswith(ends.rstrip("."))
        assert "adaptation" not in said


def test_the_page_and_the_comparison_tell_what_only_kin_measures(folder: Path) -> None:
    change_rows(folder, "after", set_cer("judge", "sampled", lambda i: 0.4))
    page = render(read_run_folder(folder))
    table = page.partition("<h3>Adaptation</h3>")[2].partition("</table>")[0]
    assert "whisper against judge" in table and table.count("<tr>") == 3
    assert 'class="worse">+' in table
    sides = (str(folder / "eval" / side) for side in ("before", "after"))
    compared = subprocess.run(
        [sys.executable, "-m", "ttsrl", "compare", *sides, "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(compared.stdout)["adaptation/whisper"]
    assert set(found) == {"sampled", "greedy"}
    assert found["sampled"]["adaptation"]["low"] > 0.2 > abs(found["greedy"]["adaptation"]["value"])


def test_verdict_of_no_change_and_of_harm(folder: Path) -> None:
    change_rows(folder, "before", set_cer("judge", "sampled", lambda i: i % 2 / 2))
    change_rows(folder, "after", set_cer("judge", "sampled", lambda i: (i + 1) % 2 / 2))
    change_rows(folder, "before", set_cer("judge", "greedy", lambda i: 0.1))
    change_rows(folder, "after", set_cer("judge", "greedy", lambda i: 0.2))
    said = sentences(folder)
    assert "did not measurably change the character error rate: from 25.0 % to 25.0 %" in said
    assert "raised the character error rate from 10.0 % to 20.0 % (+100 %;" in said
    assert "learnt to please the reward" in said


def test_evaluations_of_other_settings_are_not_compared(folder: Path) -> None:
    path = folder / "eval" / "after" / "report.json"
    report = json.loads(path.read_text())
    report["identity"]["protocol"] = "other"
    path.write_text(json.dumps(report))
    assert "cannot be compared" in sentences(folder)
    assert 'id="comparison"' not in render(read_run_folder(folder))


def test_texts_on_which_a_judge_failed_are_left_out_and_said(folder: Path) -> None:
    def fail(row: dict[str, Any]) -> None:
        if row["index"] < 10:
            row["judges"]["judge"] |= {"cer": None, "transcript": None, "error": "out of memory"}

    change_rows(folder, "after", fail)
    path = folder / "eval" / "after" / "report.json"
    report = json.loads(path.read_text())
    report["modes"]["sampled"]["judges"]["judge"]["errors"] = 10
    path.write_text(json.dumps(report))
    comparison = compare(read_run_folder(folder))
    assert comparison
    compared = comparison.of("cer/judge", "sampled")
    assert compared and (compared.texts, compared.left_out) == (50, 10)
    page = render(read_run_folder(folder))
    assert "judge failed on 0 utterances before and 10 after" in page
    assert page.count("<dd>failed</dd>") == 2 * TEXTS_WITH_WAV


@pytest.mark.parametrize("missing", ["eval/before", "eval/after", "eval", "train", "eval train"])
def test_page_without_a_part(folder: Path, missing: str) -> None:
    for part in missing.split():
        shutil.rmtree(folder / part)
    page = write_report(folder).read_text()
    assert ('id="comparison"' in page) == ("eval" not in missing)
    assert ('id="training"' in page) == ("train" not in missing)
    assert ('id="listen"' in page) == (missing not in ("eval", "eval train"))
    if "eval" in missing:
        assert "is not known yet" in page


def test_what_was_heard_while_it_trained_stands_beside_the_reward(folder: Path) -> None:
    assert 'id="beside-training"' not in render(read_run_folder(folder))
    write_changes(
        folder, "judge", {1: (-0.2, -0.3, -0.1), 2: (-0.1, -0.2, 0.0), 3: (0.1, -0.1, 0.2)}
    )
    page = render(read_run_folder(folder))
    section = page[page.index('id="beside-training"') : page.index('id="training"')]
    assert "3 checkpoints spoke the same 64 texts" in section
    assert (
        "at step 3, 40.0 %, is near the base&#39;s 30.0 % (+10.0 points; 95 % interval" in section
    )
    assert "−10.0 to +20.0, which holds 0); the lowest" in section
    assert "the lowest was 10.0 %, at step 1" in section
    assert section.count('<circle class="mark s1"') == 3
    assert "judge, step 1: 10.0 %; difference from the base −20.0 % (−30.0 % to −10.0 %)" in section
    assert "the base: 30.0 %" in section and "deaf" not in section
    # an interval that ends at the base's line touches the line
    [base] = re.findall(r'<line class="base s1" [^>]*y1="([\d.]+)"', section)
    ends = re.findall(r'<line class="whisker s1" [^>]*y1="([\d.]+)" [^>]*y2="([\d.]+)"', section)
    below, at, around = ([float(y) for y in pair] for pair in ends)
    assert min(below) > float(base)  # y grows downwards: lower rates are below
    assert min(at) == float(base)
    assert min(around) < float(base) < max(around)


@pytest.mark.parametrize(
    ("change", "said"),
    [((-0.1, -0.2, -0.05), "is lower than"), ((0.1, 0.05, 0.2), "is higher than")],
)
def test_a_change_whose_interval_leaves_out_0_is_said(
    folder: Path, change: tuple[float, float, float], said: str
) -> None:
    write_changes(folder, "judge", {3: change})
    assert f"{said} the base&#39;s 30.0 % ({change[0] * 100:+.1f}".replace("-", "−") in render(
        read_run_folder(folder)
    )


def test_the_page_says_which_model_is_the_best_and_why(folder: Path) -> None:
    assert "The best model" not in render(read_run_folder(folder))
    best = BestModel(
        step=2,
        model="runs/quickstart/model/step_000002",
        judge={"name": "judge", "kinship": "unlike"},
        scores={"cer": 0.2},
        why="step 2 has the lowest held-out CER; left out, as a guard was broken: step 3 (pitch)",
    )
    (folder / "during").mkdir()
    (folder / "during" / BEST).write_text(to_text(best))
    assert f"The best model</strong>: {best.why}." in render(read_run_folder(folder))


def test_the_page_says_which_guards_watch_and_what_they_found(folder: Path) -> None:
    assert "Guards: end_token, rate_up" in render(read_run_folder(folder))
    event = GuardEvent(
        event="tripped", guard="pitch", then="warn", first=1, step=2, said="guard <pitch>", at_s=1.0
    )
    write_lines(folder / "train" / GUARDS, [event])
    assert "<li>guard &lt;pitch&gt;</li>" in render(read_run_folder(folder))


def test_the_page_says_how_idle_the_gpus_were(folder: Path) -> None:
    assert "GPU 0" not in render(read_run_folder(folder))
    log = folder / "train" / "steps.jsonl"
    steps = read_lines(TrainingStep, log)
    idle = {"0": 0.25, "1": 0.75}
    write_lines(log, [step.model_copy(update={"gpu_idle": idle}) for step in steps])
    page = render(read_run_folder(folder))
    assert "No kernel ran on the GPUs in 50.0 % of that time (mean over GPUs)." in page
    assert "GPU 0" in page
    assert "GPU 1" in page


def test_running_training_may_be_in_the_middle_of_a_line(folder: Path) -> None:
    with (folder / "train" / "steps.jsonl").open("a") as file:
        file.write('{"step": 4, "rewa')
    assert [step.step for step in read_run_folder(folder).steps] == [1, 2, 3]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"run\.json is missing"):
        write_report(tmp_path)


def test_page_shows_no_markup_of_its_texts(folder: Path) -> None:
    evil = "<script>alert(1)</script>"

    def inject(row: dict[str, Any]) -> None:
        row["text"] += evil
        row["judges"]["judge"]["transcript"] = evil

    for side in ("before", "after"):
        change_rows(folder, side, inject)
    assert "<script" not in render(read_run_folder(folder))


def test_audio_stops_where_the_page_would_grow_too_large(finished: Path) -> None:
    read = read_run_folder(finished)
    everything = Recorder(10**9)
    assert len(before_and_after(read, everything)) == TEXTS_WITH_WAV
    assert 0 < len(before_and_after(read, Recorder(everything.bytes // 2))) < TEXTS_WITH_WAV
    assert 0 < len(rollouts(read, Recorder(60_000))) < len(rollouts(read, Recorder(10**9)))


def test_rollouts_without_playable_tokens_have_no_player(finished: Path) -> None:
    shown = rollouts(read_run_folder(finished), Recorder(10**9))
    facts = {dict(one.clips[0].facts).get("gate"): one.clips[0].audio for one in shown}
    assert facts["empty"] is None
    assert facts["token outside codebook"] is None
    assert facts[None] is not None


def test_without_the_codec_rollouts_are_read_and_not_heard(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a machine that fetches a run whose codec is in the cluster's images."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"codec": "/absent/codec"}))
    shown = rollouts(read_run_folder(folder), Recorder(10**9))
    assert shown
    assert {clip.audio for one in shown for clip in one.clips} == {None}
    assert "without sound: no model at '/absent/codec'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text, transcript, language, expected",
    [
        ("one two three", "one three", "en", "one <del>two</del> three"),
        ("one two", "one too", "en", "one <del>two</del> <mark>too</mark>"),
        ("one", "", "en", "<del>one</del>"),
        ("你好吗", "你号吗", "zh", "你<del>好</del><mark>号</mark>吗"),
        ("one", None, "en", "<em>no transcript</em>"),
    ],
)
def test_marked_transcript(text: str, transcript: str | None, language: str, expected: str) -> None:
    assert marked(text, transcript, language) == expected


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0.0, 0.37, [0.0, 0.1, 0.2, 0.3, 0.4]),
        (0.0, 1.0, [0.0, 0.5, 1.0]),
        (-0.2, 0.3, [-0.2, 0.0, 0.2, 0.4]),
        (0.0, 0.0, [0.0, 0.5, 1.0]),
        (0.0, 4e-4, [0.0, 1e-4, 2e-4, 3e-4, 4e-4]),
    ],
)
def test_nice_ticks(low: float, high: float, expected: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(expected)


def test_line_chart_skips_gaps_and_bins_long_runs() -> None:
    gap = line_chart("t", [1, 2, 3], [Series("v", [0.5, None, 0.7])], str)
    assert gap.count("<circle") == 2
    assert 'aria-label="t: v 0.5 at step 1, 0.7 at step 3"' in gap
    steps = 2 * MAX_POINTS + 1
    values = [float(step % 2) for step in range(steps)]
    long = line_chart("t", list(range(steps)), [Series("v", values)], str)
    assert long.count("<circle") == steps // 3 + 1 <= MAX_POINTS


@pytest.fixture
def with_suite(folder: Path) -> Path:
    """The same evaluations once more, as those of a suite."""
    for side in ("before", "after"):
        copied = folder / "eval" / "seed-en" / side
        shutil.copytree(folder / "eval" / side, copied)
        report = json.loads((copied / "report.json").read_text())
        (copied / "report.json").write_text(json.dumps(report | {"suite": "seed-en"}))
    run = json.loads((folder / "run.json").read_text())
    suite = {"name": "seed-en", "type": "seed-tts-eval", "path": "meta.lst", "language": "en"}
    run["eval"]["suites"] = [suite]
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def test_page_with_a_suite(with_suite: Path) -> None:
    page = render(read_run_folder(with_suite))
    section = page[page.index('<section id="suite-seed-en">') : page.index('<section id="listen">')]
    for label in ("WER, judge", "CER, judge", "WER, whisper", "Speaker similarity"):
        assert label in section
    comparison = page[page.index('<section id="comparison">') : page.index("suite-seed-en")]
    assert "WER" not in comparison


def compared(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ttsrl", "compare", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_compare_tells_two_evaluations_apart(
    with_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = (with_suite / "eval" / "seed-en" / side for side in ("before", "after"))
    shown = compared(before, after)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert re.match(r"\s+before\s+after\s+change\s+95 % interval\s+texts$", lines[0])
    assert re.match(r"WER, judge\s+sampled( +[\d.]+ %){2} +−\d+ % +−\d+ % to −\d+ % +60$", lines[1])

    found = json.loads(compared(before, after, "--json").stdout)
    rows = {
        side: [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
        for side, folder in (("before", before), ("after", after))
    }
    for side, of_side in rows.items():
        wers = [r["judges"]["judge"]["wer"] for r in of_side if r["mode"] == "greedy"]
        assert found["wer/judge"]["greedy"][side]["value"] == pytest.approx(sum(wers) / len(wers))
    assert found["similarity"]["sampled"]["texts"] == 59  # one text has no voice

    with LocalS3(tmp_path / "s3", "bucket") as server:
        for name, value in server.environment({}).items():
            monkeypatch.setenv(name, value)
        store = RunStore("s3://bucket/speech", "run")
        store.storage.publish(before, store.eval("seed-en", 0))
        published = read(store.storage.address(store.eval("seed-en", 0))).rows
        assert [row.model_dump() for row in published] == rows["before"]


def test_compare_refuses_what_cannot_be_compared(with_suite: Path) -> None:
    before, after = (with_suite / "eval" / side for side in ("before", "after"))
    path = after / "report.json"
    report = json.loads(path.read_text())
    report["identity"]["protocol"] = "other"
    path.write_text(json.dumps(report))
    refused = compared(before, after)
    assert refused.returncode == 2
    assert "cannot be compared: their texts, settings or judges differ" in refused.stderr
    missing = compared(before, with_suite)
    assert missing.returncode == 2
    assert "no finished evaluation in" in missing.stderr
    assert "is not an address of an evaluation" in compared(before, "s3://bucket/run").stderr
