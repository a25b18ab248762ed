"""The table and the charts of the example voice's runs."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from examples.voice import evidence
from examples.voice.corpus import HERE
from examples.voice.rows import FLAWED, rows, settings
from support.records import report_of, row_of, step_of
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.records.evaluation import REPORT, ROWS
from ttsrl.records.record import to_text, write_lines

RUN = HERE / "run.json"
PAGE = f"# Evidence\n\n{evidence.BEGIN}\nold\n{evidence.END}\n\nThe rest.\n"


def write_evaluation(folder: Path, base: float, unlike: float, *, greedy: bool = True) -> None:
    """Six texts, as the reward's judge and PocketSphinx hear them."""
    folder.mkdir(parents=True)
    modes = ("sampled", "greedy") if greedy else ("sampled",)
    lines = [
        row_of(
            n,
            {"base": base + 0.01 * n, "pocketsphinx": unlike + 0.01 * n},
            mode=mode,
            duration_s=4.0,
        )
        for mode in modes
        for n in range(6)
    ]
    heard = {mode: {"base": base, "pocketsphinx": unlike} for mode in modes}
    (folder / REPORT).write_text(to_text(report_of(heard, texts=6)))
    write_lines(folder / ROWS, lines)


def write_run(folder: Path, name: str, base: float, unlike: float, *, greedy: bool = True) -> None:
    """A run of ten steps from 10 % as both hear it to these CERs."""
    out = folder / name
    (out / "train").mkdir(parents=True)
    changes = [f"storage={out}", *settings(name, HERE / "policy")]
    (out / "run.json").write_text(dump_run(load_run(RUN, changes)))
    write_evaluation(out / "eval/before", 0.1, 0.1)
    write_evaluation(out / "eval/after", base, unlike, greedy=greedy)
    log = [step_of(n, reward=0.5 + 0.01 * n, raw={"cer": 0.1 - 0.005 * n}) for n in range(1, 11)]
    write_lines(out / "train" / "steps.jsonl", log)


@pytest.mark.parametrize("name", rows())
def test_every_row_is_a_run_that_differs_in_what_it_says(name: str) -> None:
    run = load_run(RUN, settings(name, HERE / "policy"))
    assert run.name == f"voice-{name}"
    assert run.train.prompts_per_step * run.rollout.group_size == 512
    assert Path(run.model).name == "policy"
    assert name.startswith((FLAWED, "clean"))


def test_the_page_has_each_row_as_both_judges_hear_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, "clean-1", 0.05, 0.09)
    write_run(tmp_path, "clean-kl", 0.06, 0.07, greedy=False)
    page = tmp_path / "evidence.md"
    page.write_text(PAGE)
    arguments = ["--runs", str(tmp_path), "--page", str(page), "--assets", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["evidence", *arguments])
    evidence.main()
    text = page.read_text()
    assert text.startswith("# Evidence") and text.endswith("The rest.\n") and "old" not in text
    first, second = (
        x
        for x in text.splitlines()
        if x.startswith(("| clean-1 | seed", "| clean-kl |")) and "%" in x
    )
    assert (
        "12.5 % -> 7.5 %" in first and "12.5 % -> 11.5 %" in first and "not measured" not in first
    )
    assert "`train.kl_coefficient` = 0.04" in second
    assert "12.5 % -> 8.5 %" in second and second.count("not measured") == 2
    assert "0.530 -> 0.580" in text and "0.085 -> 0.060" in text
    for chart in ("voice-steps.svg", "voice-judges.svg"):
        words = "".join(ElementTree.parse(tmp_path / chart).getroot().itertext())
        assert "clean-1" in words and "clean-kl" in words


def test_a_folder_without_a_finished_row_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["evidence", "--runs", str(tmp_path)])
    with pytest.raises(BadInput, match="no row"):
        evidence.main()


def test_a_page_without_a_place_for_the_rows_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{evidence.BEGIN}\n")
    for given in (page, tmp_path / "none.md"):
        with pytest.raises(BadInput, match="no place for the rows"):
            evidence.around_rows(given)
