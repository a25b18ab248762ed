"""NeuCodec through transformers' own class, in an environment of its own: `make test-xcodec2`."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_xcodec2 import save_tiny_xcodec2

from ttsrl.codecs.registry import load_codec, load_encoder
from ttsrl.errors import BadInput

LENGTHS = [12, 20, 12, 1, 57, 2, 33]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_xcodec2(
        tmp_path_factory.mktemp("codec"),
        transformers.NeuCodecConfig,
        transformers.NeuCodecModel,
        transformers.NeuCodecFeatureExtractor,
    )


def test_unequal_lengths_decode_together_as_the_real_class_decodes_each_alone(folder: Path) -> None:
    random = np.random.default_rng(0)
    utterances = [random.integers(0, 65_536, length).tolist() for length in LENGTHS]
    codec = load_codec(str(folder))
    assert (codec.codebook_size, codec.sample_rate_hz, codec.tokens_per_s) == (65_536, 24_000, 50)
    model = transformers.NeuCodecModel.from_pretrained(folder).eval()
    for tokens, waveform in zip(utterances, codec.decode(utterances), strict=True):
        with torch.inference_mode():
            alone = model.decode(audio_codes=torch.tensor(tokens)[None, None]).audio_values
        assert len(waveform) == 480 * len(tokens)
        assert np.abs(waveform).max() > 0.01
        np.testing.assert_allclose(waveform, alone.flatten().clamp(-1, 1).numpy(), atol=1e-5)


def test_recordings_have_the_real_classes_codes(folder: Path) -> None:
    encoder = load_encoder(str(folder))
    assert (encoder.codebook_size, encoder.sample_rate_hz, encoder.tokens_per_s) == (
        65_536, 16_000, 50,
    )  # fmt: skip
    random = np.random.default_rng(0)
    waves = [random.normal(0, 0.1, n).astype(np.float32) for n in (16_000, 9_000)]
    model = transformers.NeuCodecModel.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    for wave, tokens in zip(waves, encoder.encode(waves), strict=True):
        inputs = extractor(wave, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            codes = model(**inputs).audio_codes
        assert tokens == codes[0, 0].tolist()
        assert abs(len(tokens) - len(wave) / 320) <= 1


def test_without_its_feature_extractor_it_does_not_encode(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BadInput, match=r"preprocessor_config\.json"):
        load_encoder(str(folder))
