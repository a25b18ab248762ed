"""Listeners' choices as pairs for DPO: what is collected, counted, refused and learned from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from examples.tiny.word_tokens import say
from support.paths import TINY
from ttsrl.cli.app import app
from ttsrl.codecs.registry import codec_digest
from ttsrl.config.load import dump_run, load_run
from ttsrl.data.prompts import prepare
from ttsrl.data.sources import read_parquet
from ttsrl.errors import BadInput
from ttsrl.families.registry import load_family
from ttsrl.prefer.learnable import learnable
from ttsrl.records.preference import PreferencePair
from ttsrl.records.record import read_lines, write_lines
from ttsrl.training.pairs import read_pairs

COUNT = 6
FAMILY = load_family("llasa", AutoTokenizer.from_pretrained(str(TINY / "policy")))


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that kept pairs of its training texts, the last of which cannot be heard."""
    folder = tmp_path_factory.mktemp("run")
    run = load_run(TINY / "run.json")
    prepare(run, folder / "data")
    (folder / "run.json").write_text(dump_run(run))
    (folder / "train").mkdir()
    rows = [row["extra_info"]["text"] for _, row in read_parquet(folder / "data/train.parquet")]
    texts = [text for text in rows if len(set(text.split())) > 1][: COUNT + 1]
    assert len(set(texts)) == COUNT + 1
    write_lines(
        folder / "train" / "pairs.jsonl",
        [kept(text, gated=n == COUNT) for n, text in enumerate(texts)],
    )
    return folder


def kept(text: str, *, gated: bool) -> PreferencePair:
    first, stop = FAMILY.speech_token_ids[0], FAMILY.stop_token_ids[0]
    right, wrong = (
        [*(first + token for token in say(words)), stop]
        for words in (text.split(), text.split()[:1])
    )
    return PreferencePair(
        step=3,
        text=text,
        prompt_ids=FAMILY.prompt_ids(text),
        chosen_ids=right,
        rejected_ids=[stop] if gated else wrong,
        chosen_reward=0.9,
        rejected_reward=0.0 if gated else 0.2,
    )


@pytest.fixture(scope="module")
def page(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("page") / "preferences"
    result = CliRunner().invoke(app, ["prefer", "collect", str(run_dir), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert f"{COUNT} pairs of {COUNT} texts" in result.stdout
    return out


def answers(page: Path, file: Path, choices: str, /, **changes: Any) -> Path:
    """One listener's file: a, b, or s for the same, pair by pair."""
    asked = json.loads((page / "pairs.json").read_text())
    rows = [
        {"page": asked["page"], "pair": pair["id"], "a": pair["a"], "b": pair["b"]}
        | {"text": pair["text"], "at": f"{file.name} {n}"}
        | {"choice": {"a": "a", "b": "b", "s": "same"}[choice]}
        | changes
        for n, (pair, choice) in enumerate(zip(asked["pairs"], choices, strict=False))
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_what_listeners_chose_becomes_pairs_with_the_ids_that_were_heard(
    run_dir: Path, page: Path, tmp_path: Path
) -> None:
    one = answers(page, tmp_path / "one.jsonl", "absaab")
    two = answers(page, tmp_path / "two.jsonl", "absbs")
    out = tmp_path / "liked.jsonl"
    arguments = ["prefer", "pairs", page, one, two, one, "--out", out]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    assert "4 pairs, of which answers disagree about 1; 2 left out" in result.stdout
    asked = json.loads((page / "pairs.json").read_text())["pairs"]
    spoken = {c["id"]: c for c in json.loads((page / "spoken.json").read_text())["clips"]}
    found = read_lines(PreferencePair, out)
    assert [pair.text for pair in found] == [asked[n]["text"] for n in (0, 1, 4, 5)]
    assert [pair.chosen_reward for pair in found] == [1.0, 1.0, 0.75, 1.0]
    assert [pair.rejected_reward for pair in found] == [0.0, 0.0, 0.25, 0.0]
    for pair, n, side, other in zip(found, (0, 1, 4, 5), "abab", "baba", strict=True):
        assert pair.chosen_ids == spoken[asked[n][side]]["response_ids"]
        assert pair.rejected_ids == spoken[asked[n][other]]["response_ids"]
        assert pair.prompt_ids == FAMILY.prompt_ids(pair.text)
    kept_ids = {
        tuple(ids)
        for pair in read_lines(PreferencePair, run_dir / "train/pairs.jsonl")
        for ids in (pair.chosen_ids, pair.rejected_ids)
    }
    assert {tuple(clip["response_ids"]) for clip in spoken.values()} <= kept_ids


def read(run_dir: Path, pairs: Path, *overrides: str) -> list[PreferencePair]:
    given = [f"dpo={json.dumps({'pairs': str(pairs)})}", "train.prompts_per_step=2"]
    run = load_run(TINY / "run.json", [*given, *overrides])
    return read_pairs(run, FAMILY, 1000, run_dir / "data")


def test_a_run_learns_from_them_unless_it_has_another_codec_or_other_texts(
    run_dir: Path, page: Path, tmp_path: Path
) -> None:
    file = tmp_path / "liked.jsonl"
    learnable(page, [answers(page, tmp_path / "one.jsonl", "ababab")], file)
    pairs = read(run_dir, file)
    assert len(pairs) == COUNT
    assert {pair.codec for pair in pairs} == {codec_digest(str(TINY / "codec"), None)}
    write_lines(file, [pair.model_copy(update={"codec": "0" * 64}) for pair in pairs])
    with pytest.raises(BadInput, match=r"another codec or voice \(digest 000000000000\)"):
        read(run_dir, file)
    write_lines(file, [*pairs, pairs[0].model_copy(update={"text": "never heard of"})])
    with pytest.raises(BadInput, match=r"1 pairs .* not in this run's data.* 'never heard of'"):
        read(run_dir, file)


@pytest.mark.parametrize(
    ("choices", "changes", "problem"),
    [
        ("ssss", {}, "listeners decided none of 4 pairs"),
        ("abab", {"text": "never asked"}, r"\('never asked'\) is to no pair of page"),
        ("abab", {"page": "other"}, "of page other"),
        ("", {}, "the files hold no answer"),
    ],
)
def test_answers_that_decide_nothing_or_are_to_another_page_are_refused(
    page: Path, tmp_path: Path, choices: str, changes: dict[str, Any], problem: str
) -> None:
    out = tmp_path / "liked.jsonl"
    with pytest.raises(BadInput, match=problem):
        learnable(page, [answers(page, tmp_path / "one.jsonl", choices, **changes)], out)
    assert not out.exists()


def test_a_page_of_recordings_cannot_be_learned_from(page: Path, tmp_path: Path) -> None:
    file = answers(page, tmp_path / "one.jsonl", "ab")
    with pytest.raises(BadInput, match=r"no spoken\.json in .*train\.keep_pairs"):
        learnable(tmp_path, [file], tmp_path / "liked.jsonl")
