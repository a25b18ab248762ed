"""Prompts that cannot be trained on are refused before a GPU is spent: text, value, way out."""

import json
from pathlib import Path

import pytest

from examples.tiny.domain import HERE, read_texts
from examples.tiny.word_tokens import say
from ttsrl.config.load import load_run
from ttsrl.data.prompts import prepare
from ttsrl.errors import BadInput
from ttsrl.training.preflight import check, check_policy, check_prompts


def write(path: Path, *before: int) -> str:
    """The tiny stack's texts with the speech tokens of their recordings."""
    rows = [{"text": t, "speech_tokens": [*before, *say(t.split())]} for t in read_texts()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_prompt_that_is_too_long_or_not_of_the_codebook_is_refused(tmp_path: Path) -> None:
    prefix = ["data.prefix.min_s=0.08", "data.prefix.max_s=0.4", "data.prefix.tokens_per_s=12.5"]
    texts = write(tmp_path / "t.jsonl")
    run = load_run(HERE / "run.json", [f"data.texts={texts}", *prefix])
    family = check_policy(run, 1_000)
    prepare(run, tmp_path / "data")
    check_prompts(run, tmp_path, family)

    bounded = load_run(
        HERE / "run.json", [f"data.texts={texts}", *prefix, "rollout.max_prompt_tokens=25"]
    )
    with pytest.raises(BadInput, match=r"has 2[6-9] tokens, [1-4] of them speech, and rollout.max"):
        check_prompts(bounded, tmp_path, family)

    write(tmp_path / "t.jsonl", 1_000)
    prepare(run, tmp_path / "data")
    with pytest.raises(BadInput, match=r"speech token 1000, outside the codebook \[0, 1000\)"):
        check_prompts(run, tmp_path, family)


def test_a_key_of_verl_that_is_not_the_users_is_refused_first(tmp_path: Path) -> None:
    for key, why in {
        "data.train_batch_size": r"'data\.train_batch_size' may not be set",
        "data.no_such_key": r"no key 'data\.no_such_key'; write \+data",
    }.items():
        run = load_run(HERE / "run.json", [f'verl={{"{key}": 7}}', "model=/nowhere"])
        with pytest.raises(BadInput, match=why):
            check(run, tmp_path, "cpu")
    assert not list(tmp_path.iterdir())
