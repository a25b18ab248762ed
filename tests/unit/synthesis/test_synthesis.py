"""Text to waveform with the tiny policy and codec, and what is said when a folder is broken."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from ttsrl.errors import BadInput
from ttsrl.families.conditions import VoiceReference
from ttsrl.synthesis.synthesiser import SynthesisedSpeech, Synthesiser, write_wav
from ttsrl.synthesis.voice import VoicePrompt

TINY = Path("examples/tiny")
POLICY, CODEC = str(TINY / "policy"), str(TINY / "codec")
TEXTS = ["one two", "three red birds", "green", "four five six"]


@pytest.fixture(scope="module")
def tiny() -> Synthesiser:
    return Synthesiser(POLICY, CODEC, "llasa")


@pytest.fixture
def policy_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(POLICY, tmp_path / "policy"))


def speak(tiny: Synthesiser, **changes: Any) -> list[SynthesisedSpeech]:
    options: dict[str, Any] = dict(temperature=1.0, seed=0, max_tokens=12, group_size=2) | changes
    return [speech for batch in tiny.batches(TEXTS, **options) for speech in batch]


def test_speech_of_each_text_in_order(tiny: Synthesiser) -> None:
    speeches = speak(tiny, batch_size=4)
    assert [s.text for s in speeches] == [text for text in TEXTS for _ in range(2)]
    for s in speeches:
        assert all(0 <= token < tiny.codec.codebook_size for token in s.speech_tokens)
        assert len(s.speech_tokens) <= 12
        (alone,) = tiny.codec.decode([s.speech_tokens])
        np.testing.assert_allclose(s.waveform, alone, atol=1e-4)
        assert s.duration_s == pytest.approx(len(s.speech_tokens) / tiny.codec.tokens_per_s)


def test_same_seed_same_speech_and_other_batches_other_numbers(tiny: Synthesiser) -> None:
    def tokens(**changes: object) -> list[list[int]]:
        return [s.speech_tokens for s in speak(tiny, **changes)]

    assert tokens() == tokens()
    assert tokens() != tokens(seed=1)
    twice = list(tiny.batches(["one"] * 2, temperature=1, seed=0, max_tokens=12, batch_size=1))
    assert twice[0][0].speech_tokens != twice[1][0].speech_tokens
    assert tokens(temperature=0.0, seed=0) == tokens(temperature=0.0, seed=1)


def test_a_voice_is_gone_on_from_and_left_out_of_what_is_returned(tiny: Synthesiser) -> None:
    text = "three blue robots"
    options: dict[str, Any] = {"temperature": 0.0, "seed": 0, "max_tokens": 37}
    [whole] = tiny.synthesise([text], **options)
    begun = 9
    recording = tiny.decode([whole.speech_tokens[:begun]])[0]
    voice = tiny.voice("three", recording, tiny.sample_rate_hz)
    assert len(voice.reference.tokens) == begun
    exact = VoicePrompt(VoiceReference("three", whole.speech_tokens[:begun]))
    after, alone = tiny.synthesise(["blue robots", text], voices=[exact, None], **options)
    assert after.speech_tokens == whole.speech_tokens[begun:]
    assert (after.text, after.finished) == ("blue robots", whole.finished)
    samples = begun * len(recording) // begun
    np.testing.assert_allclose(after.waveform, whole.waveform[samples:], atol=1e-5)
    assert alone.speech_tokens == whole.speech_tokens


def test_no_speech_token_gives_an_empty_waveform(
    tiny: Synthesiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny.sampler, "allowed_in_frame", [tiny.sampler.stops])
    (speech,) = tiny.synthesise(["one"], temperature=1, seed=0, max_tokens=4)
    assert (speech.speech_tokens, speech.finished, speech.duration_s) == ([], True, 0.0)


def test_wav_is_written_as_16_bit_and_clipped(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([0.0, 0.5, -2.0], np.float32), 16_000)
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert rate == 16_000
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
    assert samples == pytest.approx([0.0, 0.5, -1.0], abs=1e-4)


def test_empty_text_is_refused(tiny: Synthesiser) -> None:
    with pytest.raises(BadInput, match="text 1 of 2 is empty"):
        tiny.synthesise(["one", " "], temperature=1, seed=0, max_tokens=4)


def test_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no model at .*/policy"):
        Synthesiser(str(tmp_path / "policy"), CODEC, "llasa")
    with pytest.raises(BadInput, match="no codec at"):
        Synthesiser(POLICY, str(tmp_path), "llasa")
    with pytest.raises(BadInput, match="unknown family 'parler'"):
        Synthesiser(POLICY, CODEC, "parler")


def test_codec_of_another_codebook_is_refused(tmp_path: Path) -> None:
    codec = Path(shutil.copytree(CODEC, tmp_path / "codec"))
    config = json.loads((codec / "config.json").read_text())
    weights = load_file(codec / "model.safetensors")
    levels = config["levels"]
    (codec / "config.json").write_text(json.dumps({**config, "levels": [*levels[:-1], 3]}))
    save_file(weights, codec / "model.safetensors")
    with pytest.raises(BadInput, match="codebook"):
        Synthesiser(POLICY, str(codec), "llasa")


def test_broken_weights_are_refused(policy_copy: Path) -> None:
    file = policy_copy / "model.safetensors"
    whole = file.read_bytes()

    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="cannot be loaded"):
        Synthesiser(str(policy_copy), CODEC, "llasa")

    file.write_bytes(whole)
    weights = load_file(file)
    name = "model.layers.0.self_attn.q_proj.weight"
    save_file({k: v for k, v in weights.items() if k != name}, file, {"format": "pt"})
    with pytest.raises(BadInput, match=rf"lacks 1 weights .* {name}"):
        Synthesiser(str(policy_copy), CODEC, "llasa")

    weights[name] = torch.full_like(weights[name], torch.nan)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(BadInput, match=f"not finite, first in {name}"):
        Synthesiser(str(policy_copy), CODEC, "llasa")
