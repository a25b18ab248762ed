"""`say` with a merged model, which holds its run's configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import soundfile

from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.storage.published import RUN
from ttsrl.synthesis.say import say

TINY = Path("examples/tiny")


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
