"""TRL's real DPO on the tiny policy: what it learns, publishes and refuses."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.tiny.domain import WORDS
from examples.tiny.word_tokens import say
from support.paths import TINY
from ttsrl.config.load import dump_run, load_run
from ttsrl.config.schema import RunConfig
from ttsrl.data.prompts import prepare
from ttsrl.data.sources import read_parquet
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.families.registry import load_family
from ttsrl.records.preference import PreferencePair
from ttsrl.records.record import read_lines, whole_lines, write_lines
from ttsrl.storage.published import RUN as RUN_FILE
from ttsrl.storage.published import open_run
from ttsrl.training import preflight
from ttsrl.training.dpo import LOG, DpoStep, train_by_preferences

UPDATES, PAIRS_PER_UPDATE = 8, 4


@pytest.fixture(scope="module")
def family() -> Family:
    return load_family("llasa", AutoTokenizer.from_pretrained(str(TINY / "policy")))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    prepare(load_run(TINY / "run.json"), folder)
    return folder


def texts(data: Path, name: str) -> list[str]:
    return [row["extra_info"]["text"] for _, row in read_parquet(data / f"{name}.parquet")]


def pair(family: Family, text: str, wrong: list[str], **changes: Any) -> PreferencePair:
    """Said right is better than said with other words."""
    first, stop = family.speech_token_ids[0], family.stop_token_ids[0]
    right_ids, wrong_ids = (
        [*(first + token for token in say(words)), stop] for words in (text.split(), wrong)
    )
    fields = {
        "step": 1,
        "text": text,
        "prompt_ids": family.prompt_ids(text),
        "chosen_ids": right_ids,
        "rejected_ids": wrong_ids,
        "chosen_reward": 0.9,
        "rejected_reward": 0.1,
    }
    return PreferencePair.model_validate(fields | changes)


@pytest.fixture(scope="module")
def pairs(family: Family, data: Path) -> list[PreferencePair]:
    draw = random.Random(0)
    return [
        pair(family, text, draw.sample(WORDS, k=len(text.split())))
        for text in texts(data, "train")[: UPDATES * PAIRS_PER_UPDATE]
    ]


def write_run(folder: Path, pairs: list[PreferencePair], *overrides: str) -> RunConfig:
    file = folder / "given.jsonl"
    write_lines(file, pairs)
    section = json.dumps({"pairs": str(file)})
    run = load_run(
        TINY / "run.json",
        [
            "name=dpo",
            f"dpo={section}",
            f"storage={folder / 'storage'}",
            f"train.steps={UPDATES}",
            f"train.prompts_per_step={PAIRS_PER_UPDATE}",
            "train.learning_rate=1e-4",
            "train.device=cpu",
            *overrides,
        ],
    )
    (folder / "run.json").write_text(dump_run(run))
    return run


def preference(model: str, pairs: list[PreferencePair]) -> float:
    """Mean of log p(chosen) - log p(rejected), in nats."""
    policy: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)

    def log_p(one: PreferencePair, response: list[int]) -> float:
        ids = torch.tensor([one.prompt_ids + response])
        with torch.no_grad():
            logits = policy(ids).logits[0, len(one.prompt_ids) - 1 : -1].log_softmax(-1)
        return float(logits.gather(1, torch.tensor(response)[:, None]).sum())

    gaps = [log_p(one, one.chosen_ids) - log_p(one, one.rejected_ids) for one in pairs]
    return sum(gaps) / len(gaps)


def test_a_run_learns_its_pairs_and_publishes_a_model_as_training_by_rollouts_does(
    tmp_path: Path, family: Family, data: Path, pairs: list[PreferencePair]
) -> None:
    run = write_run(tmp_path, pairs)
    train_by_preferences(tmp_path / "run.json", tmp_path)
    lines = read_lines(DpoStep, tmp_path / "train" / LOG)
    assert [line.step for line in lines] == list(range(1, UPDATES + 1))
    assert lines[0].margin == pytest.approx(0, abs=1e-4), "the reference is where it began"
    assert lines[-1].margin > lines[0].margin
    assert lines[-1].loss < lines[0].loss

    store = open_run(f"{run.storage}/runs/dpo")
    assert store.list_models() == [UPDATES]
    model = tmp_path / "pulled"
    store.storage.pull(store.model(UPDATES), model)
    assert json.loads((model / RUN_FILE).read_text())["name"] == "dpo"
    others = [
        pair(family, text, list(reversed(text.split()))) for text in texts(data, "held_out")[:8]
    ]
    assert preference(str(model), pairs[:8]) > preference(run.model, pairs[:8]) + 1
    assert preference(str(model), others) != preference(run.model, others)
    loaded = AutoModelForCausalLM.from_pretrained(str(model))
    assert loaded.dtype == torch.bfloat16

    train_by_preferences(tmp_path / "run.json", tmp_path)  # nothing is left to do
    assert len(read_lines(DpoStep, tmp_path / "train" / LOG)) == UPDATES


def test_a_run_that_was_killed_goes_on_from_what_it_saved_and_logs_each_update_once(
    tmp_path: Path, pairs: list[PreferencePair]
) -> None:
    run = write_run(tmp_path, pairs, "train.save_every=5")
    log = tmp_path / "train" / LOG
    code = "import sys; from pathlib import Path; from ttsrl.training import dpo; "
    code += "dpo.train_by_preferences(Path(sys.argv[1]) / 'run.json', Path(sys.argv[1]))"
    killed = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    deadline = time.monotonic() + 300
    while killed.poll() is None and len(whole_lines(log)) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    before = whole_lines(log)
    assert len(before) >= 6, "it was not killed after it had saved"
    with log.open("a") as file:
        file.write('{"step": 7, "los')
    train_by_preferences(tmp_path / "run.json", tmp_path)
    lines = read_lines(DpoStep, log)
    assert [line.step for line in lines] == list(range(1, UPDATES + 1))
    assert whole_lines(log)[:5] == before[:5]
    assert open_run(f"{run.storage}/runs/dpo").list_models() == [UPDATES]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"chosen_ids": [5, 6, 7]}, "is not speech of the run's family"),
        ({"rejected_ids": []}, "the two responses are the same, or one is missing"),
        ({"rejected_ids": [1] * 5_000}, "positions; leave it out"),
    ],
)
def test_a_pair_that_cannot_be_learned_is_named_by_its_line(
    tmp_path: Path, pairs: list[PreferencePair], changes: dict[str, Any], problem: str
) -> None:
    bad = pairs[1].model_copy(update=changes)
    write_run(tmp_path, [pairs[0], bad, *pairs[2:]])
    with pytest.raises(BadInput, match=rf"given\.jsonl:2: .*{problem}"):
        train_by_preferences(tmp_path / "run.json", tmp_path)


def test_pairs_of_held_out_texts_are_refused(
    tmp_path: Path, family: Family, data: Path, pairs: list[PreferencePair]
) -> None:
    text = texts(data, "held_out")[0]
    write_run(tmp_path, [*pairs, pair(family, text, ["six"])])
    with pytest.raises(BadInput, match=f"1 pairs .* holds out for evaluation, first '{text}'"):
        train_by_preferences(tmp_path / "run.json", tmp_path)


def test_too_few_pairs_and_no_file_are_told(tmp_path: Path, pairs: list[PreferencePair]) -> None:
    write_run(tmp_path, pairs, "dpo.least_difference=0.85")
    with pytest.raises(BadInput, match=r"0 of 32 pairs .*least_difference = 0.85"):
        train_by_preferences(tmp_path / "run.json", tmp_path)
    (tmp_path / "given.jsonl").unlink()
    with pytest.raises(BadInput, match=r"dpo\.pairs = .* is not a file"):
        train_by_preferences(tmp_path / "run.json", tmp_path)


def test_rollouts_are_not_started_for_a_run_that_learns_from_pairs(
    tmp_path: Path, pairs: list[PreferencePair]
) -> None:
    run = write_run(tmp_path, pairs)
    with pytest.raises(BadInput, match="learns from pairs"):
        preflight.check_configuration(run, "cpu")


@pytest.mark.parametrize("override", ["train.lora.rank=4", "train.gpus_per_node=2"])
def test_what_this_training_does_not_do_is_refused(
    tmp_path: Path, pairs: list[PreferencePair], override: str
) -> None:
    with pytest.raises(BadInput, match=r"leave train\.lora out"):
        write_run(tmp_path, pairs, override)
