"""Prompts that cannot be trained on are refused before a GPU is spent: text, value, way out."""

import json
from pathlib import Path

import pytest

from examples.tiny.domain import HERE, held_out, read_texts
from examples.tiny.word_tokens import say
from ttsrl.config.load import dump_run, load_run
from ttsrl.data.prompts import prepare
from ttsrl.errors import BadInput
from ttsrl.runtime import machine
from ttsrl.training.preflight import (
    check_configuration,
    check_memory,
    check_policy,
    check_prompts,
    check_run,
)
from ttsrl.training.supervisor import train


def write(path: Path, *before: int) -> str:
    """The tiny stack's texts with the speech tokens of their recordings."""
    rows = [{"text": t, "speech_tokens": [*before, *say(t.split())]} for t in read_texts()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_a_prompt_that_is_too_long_or_not_of_the_codebook_is_refused(tmp_path: Path) -> None:
    prefix = ["data.prefix.min_s=0.08", "data.prefix.max_s=0.4", "data.prefix.tokens_per_s=12.5"]
    texts = write(tmp_path / "t.jsonl")
    run = load_run(HERE / "run.json", [f"data.texts={texts}", *prefix])
    family = check_policy(run)
    prepare(run, tmp_path / "data")
    check_prompts(run, tmp_path, family)

    bounded = load_run(
        HERE / "run.json", [f"data.texts={texts}", *prefix, "rollout.max_prompt_tokens=25"]
    )
    with pytest.raises(BadInput, match=r"has 2[6-9] tokens, [1-4] of them speech, and rollout.max"):
        check_prompts(bounded, tmp_path, family)

    write(tmp_path / "t.jsonl", 1_000)
    with pytest.raises(BadInput, match=r"speech token 1000, outside the codebook \[0, 1000\)"):
        prepare(run, tmp_path / "data")


def test_a_held_out_reference_of_another_codebook_is_refused(tmp_path: Path) -> None:
    rows = [
        {"text": text, "prompt_text": "old dogs", "prompt_tokens": [1_000]}
        if held_out(text.split())
        else {"text": text}
        for text in read_texts()[:100]
    ]
    texts = tmp_path / "t.jsonl"
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = load_run(HERE / "run.json", [f"data.texts={texts}"])
    # where the tokenizer was not known when the prompts were made, training finds it out
    prepare(run.model_copy(update={"model": str(tmp_path / "later")}), tmp_path / "data")
    with pytest.raises(BadInput, match=r"speech token 1000, outside the codebook \[0, 1000\)"):
        check_prompts(run, tmp_path, check_policy(run))


def test_clips_of_the_audit_are_read_before_anything_starts(tmp_path: Path) -> None:
    clips = tmp_path / "clips.jsonl"
    clips.write_text('{"text": "six dogs"}\n')
    for value, why in {str(clips): "names no recording", "/none.jsonl": "no such file"}.items():
        overrides = [f"guards.audit_clips={value}", f"storage={tmp_path}/storage"]
        run = load_run(HERE / "run.json", overrides)
        with pytest.raises(BadInput, match=why):
            check_configuration(run, "cpu")
        check_configuration(load_run(HERE / "run.json", [*overrides, "guards.audit=off"]), "cpu")
    assert [path.name for path in tmp_path.iterdir()] == ["clips.jsonl"]


def test_a_key_of_verl_that_is_not_the_users_is_refused_first(tmp_path: Path) -> None:
    for key, why in {
        "data.train_batch_size": r"'data\.train_batch_size' may not be set",
        "data.no_such_key": r"no key 'data\.no_such_key'; write \+data",
    }.items():
        overrides = [f'verl={{"{key}": 7}}', "model=/nowhere", f"storage={tmp_path}/storage"]
        run = load_run(HERE / "run.json", overrides)
        with pytest.raises(BadInput, match=why):
            check_run(run, "cpu")
        config = tmp_path / "run.json"
        config.write_text(dump_run(run))
        with pytest.raises(BadInput, match=why):
            train(config, tmp_path / "work")
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_on_a_cpu_the_containers_memory_must_suffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the host's, of which a pod sees more than it may take."""
    run = load_run(HERE / "run.json")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    (tmp_path / "memory.current").write_text("0\n")
    (tmp_path / "memory.max").write_text(f"{machine.GIB}\n")
    with pytest.raises(BadInput, match=r"needs about 7\.\d GiB .* 1\.0 GiB are free.*container"):
        check_memory(run)
    with pytest.raises(BadInput, match=r"and 1\.0 GiB are free"):
        check_run(run, "cpu")
