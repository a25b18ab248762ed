import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from examples.voice.codec_folder import read_codec, write_codec
from ttsrl.codecs.mel_codec import MelCodec
from ttsrl.codecs.mel_network import MelCodecConfig, MelCodecModel
from ttsrl.codecs.registry import load_codec, load_encoder
from ttsrl.errors import BadInput

SMALL = MelCodecConfig(hidden_size=24)


@pytest.fixture(scope="module")
def model() -> MelCodecModel:
    torch.manual_seed(0)
    return MelCodecModel(SMALL).eval()


@pytest.fixture(scope="module")
def folder(model: MelCodecModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("codecs") / "mel"
    write_codec(model, path, bits=16)
    return path


def test_tokens_decode_alone_as_in_any_batch(folder: Path) -> None:
    codec = load_codec(str(folder))
    rng = np.random.default_rng(0)
    tokens_B = [rng.integers(0, codec.codebook_size, n).tolist() for n in (1, 7, 23, 7, 40, 23)]
    for tokens, waveform in zip(tokens_B, codec.decode(tokens_B), strict=True):
        (alone,) = codec.decode([tokens])
        assert len(waveform) == len(tokens) * codec.sample_rate_hz / codec.tokens_per_s
        assert waveform.dtype == np.float32
        np.testing.assert_allclose(waveform, alone, atol=1e-5)


def test_recordings_have_the_tokens_that_they_have_alone(folder: Path) -> None:
    encoder = load_encoder(str(folder))
    rng = np.random.default_rng(0)
    recordings = [
        (0.1 * rng.standard_normal(n)).astype(np.float32) for n in (1, 641, 9_000, 16_000)
    ]
    together = encoder.encode(recordings)
    assert [len(tokens) for tokens in together] == [1, 2, 15, 25]
    assert together == [encoder.encode([one])[0] for one in recordings]


def test_a_spectrum_that_is_drawn_as_recorded_gives_the_recording_back(
    model: MelCodecModel,
) -> None:
    samples = torch.sin(torch.arange(6_400) * 0.2)[None]
    config = model.config
    padded = torch.nn.functional.pad(samples, ((config.draw_fft - config.hop) // 2,) * 2)
    hann = torch.hann_window(config.draw_fft)
    spectra = torch.fft.rfft(padded.unfold(1, config.draw_fft, config.hop) * hann)
    ones = torch.ones(1, 1, spectra.shape[1])
    drawn = model._inverse_stft(spectra.transpose(1, 2), ones)
    torch.testing.assert_close(drawn, samples, atol=1e-4, rtol=0)


def test_eight_bits_are_near_the_weights(model: MelCodecModel, tmp_path: Path) -> None:
    write_codec(model, tmp_path / "mel", bits=8)
    # a step is a 127th of its row's largest weight
    rounded, name = read_codec(tmp_path / "mel").state_dict(), "draw.1.weight"
    exact = model.state_dict()[name]
    error = (rounded[name] - exact).abs().amax(1)
    assert (error <= exact.abs().amax(1) / 254 * 1.01).all()
    assert error.max() > 0
    assert load_file(tmp_path / "mel" / "model.safetensors")[name].dtype == torch.int8


@pytest.mark.parametrize("tokens", [[-1], [5, 4_096], [3, 2, 10**9]])
def test_tokens_outside_the_codebook_are_refused(model: MelCodecModel, tokens: list[int]) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 4096\): got"):
        MelCodec(model).decode([[1, 2, 3], tokens])


def test_a_config_that_cannot_be_is_refused(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"decoder_blocks": [3, 2]}))
    with pytest.raises(BadInput, match="decoder_blocks needs 3 numbers"):
        load_codec(str(tmp_path))
