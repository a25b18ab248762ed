"""XCodec2 through transformers' own class, in an environment of its own: `make test-xcodec2`."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_xcodec2 import save_tiny_xcodec2

from ttsrl.codecs.registry import load_codec

LENGTHS = [12, 20, 12, 1, 57, 2, 33]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_xcodec2(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def utterances() -> list[list[int]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 65_536, length).tolist() for length in LENGTHS]


def test_the_codec_says_what_it_is(folder: Path) -> None:
    codec = load_codec(str(folder))
    assert (codec.codebook_size, codec.sample_rate_hz, codec.tokens_per_s) == (65_536, 16_000, 50)


def test_unequal_lengths_decode_together_as_the_real_class_decodes_each_alone(
    folder: Path, utterances: list[list[int]]
) -> None:
    model = transformers.Xcodec2Model.from_pretrained(folder).eval()
    together = load_codec(str(folder)).decode(utterances)
    for tokens, waveform in zip(utterances, together, strict=True):
        with torch.inference_mode():
            alone = model.decode(audio_codes=torch.tensor(tokens)[None, None]).audio_values
        assert len(waveform) == 320 * len(tokens)
        assert np.abs(waveform).max() > 0.01
        np.testing.assert_allclose(waveform, alone.flatten().clamp(-1, 1).numpy(), atol=1e-5)


def test_a_waveform_does_not_depend_on_company_or_order(
    folder: Path, utterances: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = load_codec(str(folder))
    together = codec.decode(utterances)
    for one, other in zip(codec.decode(utterances[::-1])[::-1], together, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr("ttsrl.codecs.xcodec2.TOKENS_AT_ONCE", 40)
    for one, other in zip(codec.decode(utterances), together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_equal_utterances_are_decoded_once(
    folder: Path, utterances: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = load_codec(str(folder))
    decoded: list[int] = []
    decode = codec._launch
    monkeypatch.setattr(codec, "_launch", lambda batch: decoded.append(len(batch)) or decode(batch))
    waveforms = codec.decode(utterances[:2] * 3)
    assert sum(decoded) == 2
    np.testing.assert_array_equal(waveforms[0], waveforms[4])


def test_tokens_outside_the_codebook_are_refused(folder: Path) -> None:
    codec = load_codec(str(folder))
    with pytest.raises(ValueError, match="65536"):
        codec.decode([[65_536]])
    with pytest.raises(ValueError, match="no speech tokens"):
        codec.decode([[1], []])
