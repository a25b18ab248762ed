"""CosyVoice2's codec in batches of unequal lengths: each utterance as chatterbox makes it alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from support.cosyvoice2_files import write_codec, write_voice_models
from support.cosyvoice2_published import as_chatterbox_does
from ttsrl.codecs import voice as voices
from ttsrl.codecs.cosyvoice2 import CosyVoice2Codec
from ttsrl.codecs.cosyvoice2_vocoder import MaskedVocoder
from ttsrl.codecs.fixed_passes import Passes
from ttsrl.scorers.reference import voice as voice_like

LENGTHS = [12, 1, 31, 2, 12, 23]
AS_ON_A_GPU = Passes(4, 32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = write_voice_models(write_codec(tmp_path_factory.mktemp("cosyvoice2")))
    _teach_beyond_zero(path)
    soundfile.write(path / "voice.wav", voice_like(1.5, 24_000), 24_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voices, "CACHE", tmp_path_factory.mktemp("voices"))
        yield path


@pytest.fixture(scope="module")
def codec(folder: Path) -> CosyVoice2Codec:
    codec = CosyVoice2Codec(folder, str(folder / "voice.wav"))
    codec.flow.passes = AS_ON_A_GPU
    assert isinstance(codec.vocoder, MaskedVocoder)
    codec.vocoder.passes = AS_ON_A_GPU
    return codec


@pytest.fixture(scope="module")
def chatterbox(folder: Path) -> CosyVoice2Codec:
    codec = CosyVoice2Codec(folder, str(folder / "voice.wav"))
    as_chatterbox_does(codec)
    return codec


@pytest.fixture(scope="module")
def utterances() -> list[list[int]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 6561, length).tolist() for length in LENGTHS]


def test_an_utterance_is_the_one_that_chatterbox_makes_alone(
    codec: CosyVoice2Codec, chatterbox: CosyVoice2Codec, utterances: list[list[int]]
) -> None:
    together = codec.decode(utterances)
    for tokens, waveform in zip(utterances, together, strict=True):
        [alone] = chatterbox.decode([tokens])
        assert np.abs(waveform - alone).max() <= 1e-5 * np.abs(alone).max()
    for one, other in zip(codec.decode(utterances[::-1])[::-1], together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_vocoder_hears_no_padding(
    codec: CosyVoice2Codec, chatterbox: CosyVoice2Codec, utterances: list[list[int]]
) -> None:
    tokens_B, mels_B = _with_mels(utterances)
    with torch.inference_mode():
        together = codec.vocoder.waveforms(tokens_B, mels_B)
        alone = chatterbox.vocoder.waveforms(tokens_B, mels_B)
    for one, other in zip(together, alone, strict=True):
        # up to the last sample, whose neighbours are padding
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()


def test_a_mel_that_is_not_a_number_spoils_no_other(
    codec: CosyVoice2Codec, utterances: list[list[int]]
) -> None:
    tokens_B, mels_B = _with_mels(utterances)
    spoiled = [torch.full_like(mel, torch.nan) if n == 2 else mel for n, mel in enumerate(mels_B)]
    with torch.inference_mode():
        expected = codec.vocoder.waveforms(tokens_B, mels_B)
        found = codec.vocoder.waveforms(tokens_B, spoiled)
    assert not np.isfinite(found[2]).any()
    for n, (one, other) in enumerate(zip(found, expected, strict=True)):
        if n != 2:
            np.testing.assert_array_equal(one, other)


def test_one_utterance_out_of_the_codebook_stops_its_batch_before_anything_is_computed(
    codec: CosyVoice2Codec, utterances: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec.flow, "mels", lambda *_: pytest.fail("computed"))
    with pytest.raises(ValueError, match="9999"):
        codec.decode([*utterances, [9999]])


def test_passes_have_a_shape_that_depends_on_an_utterances_length_alone() -> None:
    passes = Passes(4, 32, 100)
    found = list(passes.of([1, 40, 32, 33, 31, 2, 7, 99, 500]))
    assert [(one.members, len(one.rows), one.length) for one in found] == [
        ([0, 2, 4], 3, 32),
        ([5, 6], 3, 32),
        ([1], 1, 64),
        ([3], 1, 64),
        ([7], 1, 128),
        ([8], 1, 512),
    ]
    assert found[1].rows == [5, 6, 5]


def _with_mels(utterances: list[list[int]]) -> tuple[list[tuple[int, ...]], list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    mels = [torch.randn(80, 2 * len(tokens), generator=generator) for tokens in utterances]
    return [tuple(tokens) for tokens in utterances], mels


def _teach_beyond_zero(folder: Path) -> None:
    """Biases and Snakes as trained models have them: with zeros a forgotten mask would not show."""
    torch.manual_seed(3)
    state: dict[str, Any] = torch.load(folder / "hift.pt")
    for name, tensor in state.items():
        if name.endswith("bias") and "f0_predictor" not in name:
            tensor.normal_(0, 0.1)
        if "alpha" in name:
            tensor.uniform_(0.5, 2)
    torch.save(state, folder / "hift.pt")
