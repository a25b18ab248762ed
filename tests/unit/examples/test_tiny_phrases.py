"""The language model of the tiny domain's texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.tiny import phrases
from examples.tiny.domain import WORDS


def test_the_file_is_what_is_made_of_the_texts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    committed = phrases.PATH.read_text()
    monkeypatch.setattr(phrases, "PATH", tmp_path / "phrases.arpa")
    phrases.write_phrases()
    assert phrases.PATH.read_text() == committed


def test_after_each_word_the_shares_of_all_words_are_one() -> None:
    backoff: dict[str, float] = {}
    alone: dict[str, float] = {}
    after: dict[tuple[str, str], float] = {}
    for fields in map(str.split, phrases.PATH.read_text().splitlines()):
        match fields:
            case [share, first, second] if second in (*WORDS, phrases.END):
                after[first, second] = 10 ** float(share)
            case [share, word, weight]:
                alone[word], backoff[word] = 10 ** float(share), 10 ** float(weight)
            case _:
                pass
    words = [*WORDS, phrases.END]
    assert {*alone} == {"<s>", *words}
    for first in ("<s>", *WORDS):
        shares = [after.get((first, word), backoff[first] * alone[word]) for word in words]
        assert sum(shares) == pytest.approx(1, abs=0.01), first
