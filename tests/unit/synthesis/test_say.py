"""`say` with a merged model, which holds its run's configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile

from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.storage.published import RUN
from ttsrl.synthesis.say import Said, say

TINY = Path("examples/tiny")
CLIP = TINY / "clips" / "black-birds-sing-today.flac"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """As it is pulled, alone in its folder."""
    folder = tmp_path / "model"
    shutil.copytree(TINY / "policy", folder)
    return folder


def test_a_merged_model_is_spoken_with_as_its_run_says(model: Path, tmp_path: Path) -> None:
    run = load_run(TINY / "run.json", ["rollout.max_speech_tokens=10"])
    (model / RUN).write_text(dump_run(run))
    (tmp_path / RUN).write_text("{}")  # somebody else's, in the folder above
    said = say("two red birds sing home", str(model), tmp_path / "said.wav")
    assert said.tokens == 10 and not said.finished
    assert soundfile.info(tmp_path / "said.wav").duration == pytest.approx(said.duration_s)


def test_it_samples_as_the_authors_do_unless_asked_otherwise(model: Path, tmp_path: Path) -> None:
    run = load_run(TINY / "run.json", ["rollout.max_speech_tokens=30"])
    (model / RUN).write_text(dump_run(run))
    out = tmp_path / "said.wav"

    def said(**asked: Any) -> tuple[str, bytes]:
        spoken = say("two red birds sing home", str(model), out, **asked)
        return spoken.drawn, out.read_bytes()

    usual = said(seed=1)
    assert usual[0] == "temperature 0.8, top_k 50, seed 1"  # Llasa's model card
    assert said(seed=1, temperature=0.8, top_p=1.0, top_k=50) == usual
    assert said(seed=1, temperature=3.0)[1] != usual[1]
    greedy = said(seed=1, greedy=True)
    assert greedy[0] == "greedy" and said(seed=2, greedy=True) == greedy
    assert said(seed=5, top_k=1)[1] == greedy[1]
    with pytest.raises(BadInput, match="--greedy takes the likeliest token each time: leave"):
        said(greedy=True, top_k=5)
    with pytest.raises(BadInput, match="--family: unknown family 'lasa'; known: llasa"):
        said(family="lasa")


def test_a_small_model_without_a_run_says_what_it_has_room_for(model: Path, tmp_path: Path) -> None:
    def said(longest: int | None) -> Said:
        codec, out = str(TINY / "codec"), tmp_path / "a.wav"
        text = "two red birds sing home"
        return say(text, str(model), out, codec=codec, max_speech_tokens=longest)

    assert said(None).finished
    with pytest.raises(BadInput, match="the model's 256 positions; lower max_speech_tokens"):
        said(2048)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"style": " "}, "--style is empty; leave it out"),
        ({"voice": str(CLIP), "voice_text": " "}, "--voice and --voice-text belong together"),
        ({"language": "klingon"}, "--language: language 'klingon' is not supported"),
        ({"language": "de"}, "--language: the model is told none: no place {language} in"),
    ],
)
def test_what_the_model_cannot_be_told_is_refused(
    model: Path, tmp_path: Path, asked: dict[str, Any], why: str
) -> None:
    with pytest.raises(BadInput, match=why.replace("{", r"\{")):
        say("two red birds", str(model), tmp_path / "a.wav", codec=str(TINY / "codec"), **asked)
    assert not (tmp_path / "a.wav").exists()


def test_a_model_is_told_the_language_as_its_run_says(model: Path, tmp_path: Path) -> None:
    form = "prompt.request=[{language}] {text}"
    (model / RUN).write_text(dump_run(load_run(TINY / "run.json", [form])))
    with pytest.raises(BadInput, match="a place for the language, and none is given"):
        say("two red birds", str(model), tmp_path / "a.wav")
    assert say("two red birds", str(model), tmp_path / "a.wav", language="German").tokens


@pytest.mark.parametrize(
    ("run", "why"),
    [
        ({"field": "of another version"}, "no run.json of .*model tells the model's codec"),
        ({"codec": "/app/codec"}, "--codec = /app/codec: there is no such folder"),
    ],
)
def test_a_codec_that_is_not_known_or_not_here_is_asked_for(
    model: Path, tmp_path: Path, run: dict[str, str], why: str
) -> None:
    published = json.loads(dump_run(load_run(TINY / "run.json")))
    (model / RUN).write_text(json.dumps(published | run))
    with pytest.raises(BadInput, match=why):
        say("two red birds", str(model), tmp_path / "said.wav")
    assert not (tmp_path / "said.wav").exists()


@pytest.mark.parametrize(
    ("text", "why"),
    [("...", "the text is .*, without a letter or digit"), ("two\x07", "control character U")],
)
def test_what_nobody_can_say_is_refused(model: Path, tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        say(text, str(model), tmp_path / "a.wav", codec=str(TINY / "codec"))
