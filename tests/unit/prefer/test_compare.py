"""Asking again after training: pages of before and after, and what their answers come to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import binomtest
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from support.paths import TINY
from ttsrl.cli.app import app
from ttsrl.config.load import dump_run, load_run
from ttsrl.data.prompts import prepare
from ttsrl.errors import BadInput
from ttsrl.evaluation.report.page import write_report
from ttsrl.prefer.clips import Clip, Pair, clip_of
from ttsrl.prefer.compare import count, pair_up, wilson, write_comparison
from ttsrl.records.listening import CHOICE, FOLDER, KEY
from ttsrl.scorers.reference import RATE_HZ, voice

TEXTS = 50


@pytest.fixture(scope="module")
def spoken() -> tuple[list[Clip | None], list[Clip | None]]:
    """Before lower voices, after higher ones; text 3 sounds equal, text 5 has silence before."""
    low = [clip_of(f"text {n}", voice(1.0, pitch_hz=100 + n), RATE_HZ) for n in range(TEXTS)]
    high = [clip_of(f"text {n}", voice(1.0, pitch_hz=200 + n), RATE_HZ) for n in range(TEXTS)]
    before: list[Clip | None] = [*low]
    before[5] = None
    after: list[Clip | None] = [*high]
    after[3] = low[3]
    return before, after


@pytest.fixture
def page(
    spoken: tuple[list[Clip | None], list[Clip | None]], tmp_path: Path
) -> tuple[Path, list[Pair]]:
    before, after = spoken
    pairs, *_ = pair_up(before, after, seed=0)
    write_comparison(pairs, after, ["b", "a"], tmp_path / FOLDER)
    return tmp_path / FOLDER, pairs


def answer(
    folder: Path, pairs: list[Pair], choose: Callable[[int, Pair], str], name: str = "answers"
) -> Path:
    key = json.loads((folder / KEY).read_text())
    file = folder / f"{name}.jsonl"
    file.write_text(
        "".join(
            json.dumps(
                {"page": key["page"], "pair": pair.id, "a": pair.a.id, "b": pair.b.id}
                | {"text": pair.a.text, "choice": choose(n, pair), "at": f"{name} {n}"}
            )
            + "\n"
            for n, pair in enumerate(pairs)
        )
    )
    return file


def side_of(pair: Pair, after: list[Clip | None]) -> str:
    return "a" if pair.a in after else "b"


def test_the_interval_is_wilsons() -> None:
    for right, n in [(0, 7), (3, 10), (25, 50), (90, 90)]:
        expected = binomtest(right, n).proportion_ci(0.95, method="wilson")
        assert wilson(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_pairs_hold_both_models_on_either_side_and_nothing_that_cannot_be_chosen(
    spoken: tuple[list[Clip | None], list[Clip | None]],
) -> None:
    before, after = spoken
    pairs, equal, silent = pair_up(before, after, seed=0)
    assert (len(pairs), equal, silent) == (TEXTS - 2, 1, 1)
    assert {"text 3", "text 5"}.isdisjoint(pair.a.text for pair in pairs)
    sides = [side_of(pair, after) for pair in pairs]
    assert sides.count("a") == sides.count("b")
    assert all((pair.a in before) == (pair.b in after) for pair in pairs)
    assert all(pair.a.text == pair.b.text for pair in pairs)
    assert pairs != pair_up(before, after, seed=1)[0]
    with pytest.raises(BadInput, match="none differs: is the model after training the one before"):
        pair_up(before[:3], before[:3], seed=0)


def test_the_page_does_not_tell_which_model_spoke(page: tuple[Path, list[Pair]]) -> None:
    folder, _ = page
    html = (folder / "prefer.html").read_text().lower()
    assert "after" not in html.replace("afterend", "")
    assert "before" not in html.replace("beforeunload", "")


def test_choices_are_counted_by_text_and_a_tie_is_one_half(
    page: tuple[Path, list[Pair]], spoken: tuple[list[Clip | None], list[Clip | None]]
) -> None:
    folder, pairs = page
    _, after = spoken

    def first(n: int, pair: Pair) -> str:
        return "same" if n < 8 else side_of(pair, after)

    def second(n: int, pair: Pair) -> str:
        return side_of(pair, after) if n < 24 else {"a": "b", "b": "a"}[side_of(pair, after)]

    one = answer(folder, pairs, first, "one")
    choice = count(folder, [one])
    assert choice.share == pytest.approx((48 - 4) / 48)
    assert (choice.texts, choice.answers, choice.same, choice.listeners) == (48, 48, 8, 1)
    assert choice.low > 0.5
    assert choice.verdict == "listeners prefer the speech after training"
    two = count(folder, [one, answer(folder, pairs, second, "two")])
    # 8 texts: .5 and 1; 16: 1 and 1; 24: 1 and 0
    assert two.share == pytest.approx((8 * 0.75 + 16 + 24 * 0.5) / 48)
    assert (two.low, two.high) == wilson(two.share, 48)
    assert (two.answers, two.listeners) == (96, 2)
    assert two == count(folder, [one, folder / "two.jsonl"])
    assert json.loads((folder / CHOICE).read_text())["share"] == two.share


def test_an_answer_that_was_changed_and_saved_again_counts_as_it_was_last(
    page: tuple[Path, list[Pair]], spoken: tuple[list[Clip | None], list[Clip | None]]
) -> None:
    folder, pairs = page
    _, after = spoken

    def saved(name: str, choose: Callable[[int, Pair], str], listener: str) -> Path:
        file = answer(folder, pairs, choose, name)
        rows = [json.loads(line) | {"listener": listener} for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return file

    same = saved("1", lambda _, pair: "same", "0" * 16)
    better = saved("2", lambda _, pair: side_of(pair, after), "0" * 16)
    for files in ([same, better], [better, same]):
        choice = count(folder, files)
        assert (choice.share, choice.answers, choice.same) == (1.0, len(pairs), 0)
        assert choice.listeners == 1
    other = saved("3", lambda _, pair: side_of(pair, after), "1" * 16)
    both = count(folder, [better, other])
    assert (both.answers, both.listeners) == (2 * len(pairs), 2)


def test_an_answer_that_was_saved_twice_counts_once(
    page: tuple[Path, list[Pair]], spoken: tuple[list[Clip | None], list[Clip | None]]
) -> None:
    folder, pairs = page
    whole = answer(folder, pairs, lambda n, pair: side_of(pair, spoken[1]))
    half = folder / "half.jsonl"
    half.write_text("".join(whole.read_text().splitlines(keepends=True)[:20]))
    assert count(folder, [whole, half]).answers == len(pairs)


def test_answers_that_cannot_be_counted_are_refused(
    page: tuple[Path, list[Pair]], tmp_path: Path
) -> None:
    folder, pairs = page
    with pytest.raises(BadInput, match="side B was chosen in 0% of 48 decided pairs"):
        count(folder, [answer(folder, pairs, lambda n, pair: "a")])
    other = answer(folder, pairs, lambda n, pair: "ab"[n % 2])
    other.write_text(other.read_text().replace('"page": "', '"page": "x'))
    with pytest.raises(BadInput, match="are to page x"):
        count(folder, [other])
    other.write_text("")
    with pytest.raises(BadInput, match="no answer"):
        count(folder, [other])
    with pytest.raises(BadInput, match=r"no key.json .* `ttsrl prefer compare`"):
        count(tmp_path, [other])
    assert not (folder / CHOICE).exists()


@pytest.mark.parametrize("option", ["--before", "--after"])
def test_a_model_that_is_not_there_is_told_before_anything_is_spoken(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    (folder / "pulled").mkdir(parents=True)
    (folder / "pulled" / "model.safetensors").touch()
    run = load_run(TINY / "run.json")
    (folder / "run.json").write_text(dump_run(run))
    prepare(run, folder / "data")
    monkeypatch.setattr("ttsrl.prefer.compare.speak", lambda *_: pytest.fail("it has spoken"))
    missing = str(tmp_path / "no")
    said = CliRunner().invoke(app, ["prefer", "compare", str(folder), option, missing])
    assert said.exit_code == 2, said.output
    assert f"{option} = {missing}: there is no such folder" in said.output


def test_a_run_is_asked_about_and_its_report_says_what_was_chosen(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    run = load_run(TINY / "run.json")
    (folder / "run.json").write_text(dump_run(run))
    prepare(run, folder / "data")
    said = CliRunner().invoke(app, ["prefer", "compare", str(folder)])
    assert said.exit_code == 2
    assert f"no model in {folder / 'pulled'}; pull it, or name one with --after" in said.output
    same = ["prefer", "compare", str(folder), "--texts", "2", "--after"]
    said = CliRunner().invoke(app, [*same, run.model])
    assert said.exit_code == 2
    assert "none differs" in said.output
    model = AutoModelForCausalLM.from_pretrained(run.model)
    model.lm_head.weight.data *= 0.3
    model.save_pretrained(folder / "pulled")
    AutoTokenizer.from_pretrained(run.model).save_pretrained(folder / "pulled")
    said = CliRunner().invoke(app, ["prefer", "compare", str(folder), "--texts", "6"])
    assert said.exit_code == 0, said.output
    key = json.loads((folder / FOLDER / KEY).read_text())
    assert len(key["before"]) == len(key["after"]) == 6
    assert key["models"][0] != key["models"][1]
    page = (folder / FOLDER / "prefer.html").read_text()
    (line,) = [line for line in page.splitlines() if '"pairs"' in line and "a_audio" in line]
    pairs = json.loads(line[line.index("{") : line.rindex("}") + 1])["pairs"]
    answers = tmp_path / "answers.jsonl"
    answers.write_text(
        "".join(
            json.dumps(
                {"page": key["page"], "pair": p["id"], "a": p["a"], "b": p["b"], "at": "now"}
                | {"text": p["text"], "choice": "a" if p["a"] in key["before"] else "b"}
            )
            + "\n"
            for p in pairs
        )
    )
    said = CliRunner().invoke(app, ["prefer", "count", str(folder / FOLDER), str(answers)])
    assert said.exit_code == 0, said.output
    assert "preferred in 0.0% (95 % interval 0.0% to 39.0%) of 6 texts" in said.output
    report = write_report(folder).read_text()
    assert "What listeners chose" in report
    assert "listeners prefer the speech before training: of 6 texts" in report
