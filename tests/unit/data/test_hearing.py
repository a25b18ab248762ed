"""What the run's recognisers cannot hear is left out when data is prepared, with the number."""

import json
from pathlib import Path

import pytest

from ttsrl.config.schema import RunConfig
from ttsrl.data.hearing import Hearings
from ttsrl.data.prompts import prepare
from ttsrl.errors import BadInput
from ttsrl.text.speaking import speaking_s

TINY = Path("examples/tiny").absolute()


def run_config(texts: Path, whisper: Path, judge: str = "ctc", **changed: object) -> RunConfig:
    config = {
        "name": "r",
        "model": str(TINY / "policy"),
        "codec": "c",
        "data": {"texts": str(texts), "held_out_fraction": 0.3, "max_chars": 5000, **changed},
        "train": {"steps": 1},
        "reward": {"whisper": {"model": str(whisper)}},
        "eval": {"judges": [{"name": "j", "type": judge, "model": f"{whisper}/"}]},
    }
    return RunConfig.model_validate(config)


def write(tmp_path: Path, *more: dict[str, str]) -> Path:
    rows = [{"text": f"two {n} birds sing"} for n in range(40)]
    file = tmp_path / "t.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))
    return file


def test_texts_beyond_a_recogniser_are_left_out_with_their_number(tmp_path: Path) -> None:
    run = run_config(write(tmp_path), TINY / "whisper")
    tokens = Hearings.of(run).here[0].tokens
    most = tokens.max_new(len(tokens.prompt("en")))
    long = {"text": "é" * (most + 1)}  # of two bytes and as many tokens
    prepared = prepare(run_config(write(tmp_path, long), TINY / "whisper"), tmp_path / "data")
    (reason,) = prepared.left_out
    assert reason == f"has more than the {most} tokens that reward.whisper can write"
    assert prepared.left_out[reason] == 1 and prepared.notes == []
    strict = run_config(write(tmp_path, long), TINY / "whisper", on_filtered="error")
    with pytest.raises(BadInput, match=r"t\.jsonl:41: text .* can write: \d+; correct or remove"):
        prepare(strict, tmp_path / "data")


def test_a_text_longer_than_the_window_is_left_out(tmp_path: Path) -> None:
    run = run_config(write(tmp_path), TINY / "whisper")
    (hearing, *_) = Hearings.of(run).here
    found = hearing.too_much("1" * 200, "en")
    assert found is not None and 30 < found[1] < 60
    assert found[0] == "takes longer to say than the 30 s that reward.whisper takes"


def test_a_text_may_have_every_token_that_a_recogniser_writes(tmp_path: Path) -> None:
    run = run_config(write(tmp_path), TINY / "whisper")
    (hearing,) = Hearings.of(run).here  # the judge is not a Whisper
    assert hearing.key == "reward.whisper"
    most = hearing.tokens.max_new(len(hearing.tokens.prompt("en")))
    fits = "é" * ((most - 1) // 2)  # two tokens each
    fits += "q" * (most - len(hearing.tokens.encode(f" {fits}")))
    assert len(hearing.tokens.encode(f" {fits}")) == most, "with the space that Whisper writes"
    assert hearing.too_much(fits, "en") is None
    found = hearing.too_much(f"{fits}q", "en")
    assert found is not None and found[1] == most + 1


def test_a_recogniser_that_is_not_here_is_told(tmp_path: Path) -> None:
    prepared = prepare(run_config(write(tmp_path), Path("w")), tmp_path / "data")
    assert prepared.notes == [
        "not checked: whether reward.whisper can hold the texts (no such folder: w)"
    ]
    assert str(prepared).endswith(prepared.notes[0])


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("he was not an ill disposed young man unless to be rather cold hearted", 3.0, 5.0),
        ("今天天气很好我们去公园散步吧", 2.4, 3.2),
        ("こんにちは、おげんきですか", 1.4, 2.2),
        ("안녕하세요 반갑습니다", 1.4, 2.2),
        ("नमस्ते दुनिया", 0.6, 1.6),
        ("", 0, 0),
    ],
)
def test_a_text_takes_as_long_as_its_letters(text: str, low: float, high: float) -> None:
    assert low <= speaking_s(text) <= high
