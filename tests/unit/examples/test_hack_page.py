"""The page of `make hack`: a run that a guard stopped, and one without guards."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from examples.hack.page import write_page
from examples.hack.run import tell
from examples.hack.sides import of_seed
from examples.hack.tricks import JUDGE, TRICKS
from support.paths import TINY
from support.records import report_of, row_of, step_of
from ttsrl.config.load import dump_run, load_run
from ttsrl.evaluation.compare import values
from ttsrl.evaluation.report.comparison import compare_evaluations
from ttsrl.evaluation.report.inputs import Evaluation
from ttsrl.records.during import CHANGE, ChangeFromBase
from ttsrl.records.evaluation import REPORT, ROWS, Verdict
from ttsrl.records.guard import GUARDS, GuardEvent
from ttsrl.records.record import to_text, write_lines
from ttsrl.synthesis.synthesiser import write_wav

TINY_RUN = TINY / "run.json"
TRICK = TRICKS[0]
SAID = "guard rate_up at step 8: chars_per_s is 19.1, more than 20 % above the base's 14.6"
TEXTS = ("two old robots jump", "six white swim")


def write_evaluation(folder: Path, step: int, cer: float) -> Evaluation:
    out = folder / "during" / f"step_{step:06d}"
    (out / "wav").mkdir(parents=True)
    heard = {0.2: TEXTS[0], 0.5: "two"}
    rows = [
        row_of(
            number,
            {JUDGE: cer},
            text=text,
            mode="sampled",
            wav=f"wav/{number}.wav",
            judges={JUDGE: Verdict(cer=cer, wer=cer, transcript=heard.get(cer, text))},
        )
        for number, text in enumerate(TEXTS)
    ]
    for row in rows:
        tone = 0.1 * np.sin(np.arange(8000) * 0.1).astype(np.float32)
        write_wav(out / str(row.wav), tone, 16_000)
    (out / REPORT).write_text(to_text(report_of({"sampled": {JUDGE: cer}}, texts=2)))
    write_lines(out / ROWS, rows)
    found = Evaluation.read(out)
    assert found is not None
    return found


def write_side(out: Path, side: str, cers: dict[int, float], *, stopped: bool) -> None:
    """A run of so many steps, with these CERs at its checkpoints."""
    folder = out / TRICK.name / side
    (folder / "train").mkdir(parents=True)
    settings = [*TRICK.settings(guarded=side == "guarded"), f"storage={out / 'storage'}"]
    (folder / "run.json").write_text(dump_run(load_run(TINY_RUN, settings)))
    base = write_evaluation(folder, 0, 0.2)
    for step, cer in cers.items():
        found = compare_evaluations(base, write_evaluation(folder, step, cer), samples=100, seed=1)
        change = ChangeFromBase.model_validate({"step": step, "metrics": values(found)})
        (folder / "during" / f"step_{step:06d}" / CHANGE).write_text(to_text(change))
    steps = [step_of(n, reward=0.2 + 0.02 * n) for n in range(1, 1 + max(cers))]
    write_lines(folder / "train" / "steps.jsonl", steps)
    if stopped:
        event = GuardEvent(
            event="tripped", guard="rate_up", then="stop", first=4, step=8, said=SAID, at_s=1.0
        )
        write_lines(folder / "train" / GUARDS, [event])


def test_the_page_shows_both_runs_with_their_figures_and_their_speech(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_side(tmp_path, "guarded", {4: 0.2, 8: 0.25}, stopped=True)
    write_side(tmp_path, "unguarded", {4: 0.2, 8: 0.25, 16: 0.5}, stopped=False)
    page = write_page(tmp_path).read_text()
    assert TRICK.title in page and TRICK.hole in page
    assert SAID.replace("'", "&#39;") in page
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in re.findall("<tr>.*?</tr>", page)]
    told = [" ".join(row) for row in rows]
    assert "before training 20.0 %" in told
    assert "with guards stopped after step 8 0.22 → 0.36 25.0 % +5.0 (+5.0 to +5.0)" in told
    assert "without guards all 16 steps 0.22 → 0.52 50.0 % +30.0 (+30.0 to +30.0)" in told
    # each text before training, with guards and without
    assert page.count("<audio") == len(TEXTS) * 3
    assert "two <del>old robots jump</del>" in page
    assert "rate_up stops it" in page
    assert tell(tmp_path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "rate, with guards: stopped by rate_up at step 8, +5.0 points of held-out CER",
        "rate, without guards: +30.0 points of held-out CER after 16 steps",
    ]
    assert TRICKS[1].title not in page  # it was not run

    plot = ElementTree.fromstring((tmp_path / f"hack-{TRICK.name}.svg").read_text())
    assert plot.get("aria-label") == (
        "Reward and CER on held-out texts: 20.0 % before training, at the end with guards 25.0 %, "
        "without guards 50.0 %"
    )
    lines = [element for element in plot.iter() if element.tag.endswith("polyline")]
    assert len(lines) == 4


def test_with_more_seeds_the_table_has_the_mean_and_the_range_of_each_side(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, ends in {1: (0.25, 0.5), 2: (0.28, 0.4), 3: (0.22, 0.6)}.items():
        write_side(of_seed(tmp_path, seed), "guarded", {8 + seed: ends[0]}, stopped=True)
        write_side(of_seed(tmp_path, seed), "unguarded", {16: ends[1]}, stopped=False)
    page = write_page(tmp_path).read_text()
    rows = [re.sub(r"<[^>]+>", " ", row).split() for row in re.findall("<tr>.*?</tr>", page)]
    told = [" ".join(row) for row in rows]
    assert (
        "with guards, 3 seeds 3 stopped, after 10 (9 to 11) steps 0.40 (0.38 to 0.42) "
        "25.0 % (22.0 % to 28.0 %) +5.0 (+2.0 to +8.0)"
    ) in told
    assert (
        "without guards, 3 seeds 0 stopped, after 16 (16 to 16) steps 0.52 (0.52 to 0.52) "
        "50.0 % (40.0 % to 60.0 %) +30.0 (+20.0 to +40.0)"
    ) in told
    assert tell(tmp_path) == 0
    said = capsys.readouterr().out
    assert "rate, seed 3, with guards: stopped by rate_up at step 11, +2.0 points" in said


def test_a_page_of_one_run_is_written_while_the_other_is_not_done(tmp_path: Path) -> None:
    write_side(tmp_path, "guarded", {4: 0.3}, stopped=False)
    (tmp_path / TRICK.name / "unguarded" / "during").mkdir(parents=True)
    page = write_page(tmp_path).read_text()
    assert "with guards" in page
    assert "without guards" not in page.partition("<main>")[2]
    assert "stops it" not in page


@pytest.mark.parametrize(("cer", "stopped"), [(0.31, True), (0.25, False)])
def test_a_guard_that_comes_too_late_or_not_at_all_fails_the_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cer: float, stopped: bool
) -> None:
    write_side(tmp_path, "guarded", {8: cer}, stopped=stopped)
    assert tell(tmp_path) == 1
    assert capsys.readouterr().out.endswith(": TOO LATE\n")


def test_every_trick_is_a_run_that_can_start_with_and_without_guards() -> None:
    for trick in TRICKS:
        guarded, unguarded = (
            load_run(TINY_RUN, trick.settings(guarded=on)) for on in (True, False)
        )
        assert guarded.guards.built_in and not unguarded.guards.built_in
        assert guarded.name != unguarded.name  # they may share a storage
        assert guarded.train == unguarded.train
        # the judge gave no reward
        assert not any(judge.used_in_reward for judge in guarded.eval.judges)
