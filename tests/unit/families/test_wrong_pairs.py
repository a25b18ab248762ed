"""Every family with every tokenizer and every codec: only those that belong together are taken."""

import json
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from typer.testing import CliRunner

from support.family_tokenizers import (
    NEUTTS_MARKERS,
    llasa_tokenizer,
    neutts_tokenizer,
    qwen2_cosy_tokenizer,
    write_qwen2_tokenizer,
)
from support.orpheus_files import SNAC_CONFIG, orpheus_tokenizer
from ttsrl.cli.app import app
from ttsrl.codecs.of_family import check_codec_of_family, check_frame
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.families.neutts import EMOTIONS
from ttsrl.families.registry import FAMILIES, family_class, load_family
from ttsrl.models.cosyvoice_editions import COSYVOICE2, COSYVOICE3, Edition
from ttsrl.models.cosyvoice_llm import make_tokenizer
from ttsrl.synthesis.synthesiser import Synthesiser
from ttsrl.training.preflight import check_policy

CODECS = ("xcodec2", "cosyvoice2", "cosyvoice3", "neucodec", "snac")
TAKES = {
    "llasa": {"llasa"},
    "cosyvoice2": {"cosyvoice2"},
    "cosyvoice3": {"cosyvoice3"},
    "qwen2-cosy": {"qwen2-cosy"},
    "neutts": {"neutts"},
    "neutts-de": {"neutts"},
    "neutts-es": {"neutts"},
    "neutts-fr": {"neutts"},
    "neutts-2e": {"neutts-2e"},
    "orpheus": {"orpheus"},
    "maya1": {"orpheus"},
}
"""Models of one line have one form of tokenizer, whatever their language or voice."""
CODEC_OF = {
    "llasa": "xcodec2",
    "cosyvoice2": "cosyvoice2",
    "cosyvoice3": "cosyvoice3",
    "qwen2-cosy": "cosyvoice2",
    "orpheus": "snac",
    "maya1": "snac",
}


def cosyvoice_tokenizer(folder: Path, edition: Edition) -> PreTrainedTokenizerBase:
    write_qwen2_tokenizer(folder)
    return make_tokenizer(folder, edition)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreTrainedTokenizerBase]:
    emotional = (*NEUTTS_MARKERS, *(f"<|{emotion.upper()}|>" for emotion in EMOTIONS))
    make: dict[str, Callable[[Path], PreTrainedTokenizerBase]] = {
        "llasa": lambda _: llasa_tokenizer(),
        "cosyvoice2": lambda folder: cosyvoice_tokenizer(folder, COSYVOICE2),
        "cosyvoice3": lambda folder: cosyvoice_tokenizer(folder, COSYVOICE3),
        "qwen2-cosy": qwen2_cosy_tokenizer,
        "neutts": lambda folder: neutts_tokenizer("qwen2", folder),
        "neutts-2e": lambda folder: neutts_tokenizer("llama", folder, emotional),
        "orpheus": lambda _: orpheus_tokenizer(),
    }
    made = {name: make_one(tmp_path_factory.mktemp(name)) for name, make_one in make.items()}
    for tokenizer in made.values():  # each is asked for by every family
        vocabulary = tokenizer.get_vocab()
        tokenizer.get_vocab = lambda vocabulary=vocabulary: vocabulary
    return made


@pytest.fixture(scope="module")
def codecs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders that are known as codecs by what describes them."""
    folder = tmp_path_factory.mktemp("codecs")
    for name in (*CODECS, "own"):
        (folder / name).mkdir()
        config = SNAC_CONFIG if name == "snac" else {"model_type": name}
        if name.startswith("cosyvoice"):
            (folder / name / f"{name}.yaml").touch()
        else:
            (folder / name / "config.json").write_text(json.dumps(config))
    return {name: folder / name for name in (*CODECS, "own")}


def test_a_family_takes_the_tokenizers_of_its_own_models_alone(
    tokenizers: dict[str, PreTrainedTokenizerBase],
) -> None:
    assert TAKES.keys() == FAMILIES.keys()
    for name, (kind, tokenizer) in product(FAMILIES, tokenizers.items()):
        if kind in TAKES[name]:
            load_family(name, tokenizer)
            continue
        with pytest.raises(
            BadInput, match=f"not a tokenizer of {family_class(name).title}"
        ) as raised:
            load_family(name, tokenizer)
        assert "\n" not in str(raised.value)


def test_a_family_takes_the_codec_of_its_own_models_alone(codecs: dict[str, Path]) -> None:
    for name, (kind, folder) in product(FAMILIES, codecs.items()):
        if kind in (CODEC_OF.get(name, "neucodec"), "own"):
            check_codec_of_family(name, folder)
            continue
        with pytest.raises(BadInput, match=rf"is {kind}, and the family {name} was taught the tok"):
            check_codec_of_family(name, folder)


def test_a_frame_of_another_size_is_refused(
    tokenizers: dict[str, PreTrainedTokenizerBase],
) -> None:
    orpheus = load_family("orpheus", tokenizers["orpheus"])
    check_frame("orpheus", orpheus, "snac", 7)
    with pytest.raises(BadInput, match="a frame of orpheus has 7 tokens, and one of the codec c"):
        check_frame("orpheus", orpheus, "c", 1)


WRONG = [
    (["family=orpheus"], "not a tokenizer of Orpheus"),
    (["model={neutts}"], "not a tokenizer of Llasa"),
    (["codec={snac}"], "is snac, and the family llasa was taught the tokens of xcodec2"),
    (["codec={neucodec}"], "is neucodec, and the family llasa was"),
    (["family=cosyvoice2", "model={cosyvoice3}"], "not a tokenizer of CosyVoice2"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_every_command_refuses_what_does_not_fit_with_one_line(
    values: list[str],
    message: str,
    tmp_path: Path,
    codecs: dict[str, Path],
    tokenizers: dict[str, PreTrainedTokenizerBase],
) -> None:
    models = {"neutts": tmp_path / "neutts", "cosyvoice3": tmp_path / "cosyvoice3"}
    tokenizers["cosyvoice3"].save_pretrained(models["cosyvoice3"])
    write_qwen2_tokenizer(models["neutts"])
    neutts = AutoTokenizer.from_pretrained(models["neutts"])
    neutts.add_tokens([*NEUTTS_MARKERS, "<|speech_0|>"])
    neutts.save_pretrained(models["neutts"])
    for folder in models.values():
        (folder / "config.json").write_text("{}")
    filled = [value.format(**(codecs | models)) for value in values]
    run = load_run("examples/tiny/run.json", filled)
    (tmp_path / "run.json").write_text(dump_run(run))
    # what `ttsrl train` asks first, and what `ttsrl eval` speaks with
    for refuse in (check_policy, lambda run: Synthesiser(run.model, run.codec, run.family)):
        with pytest.raises(BadInput, match=message):
            refuse(run)
    prepare = ["prepare", "--config", str(tmp_path / "run.json"), "--work-dir", str(tmp_path)]
    say = ["say", "red dogs", "--model", run.model, "--codec", run.codec, "--family", run.family]
    for command in (prepare, [*say, "--out", str(tmp_path / "said.wav")]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2
        assert re.search(message, result.stderr)
        assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "data").exists()
