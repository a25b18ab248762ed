import json
from pathlib import Path

import numpy as np
import pytest

from ttsrl.codecs.registry import load_codec
from ttsrl.codecs.tiny import TinyCodec

FOLDER = Path("examples/tiny/codec")


@pytest.fixture(scope="module")
def codec() -> TinyCodec:
    return TinyCodec.load(str(FOLDER))


def test_tokens_decode_alone_as_in_any_batch(codec: TinyCodec) -> None:
    rng = np.random.default_rng(0)
    tokens_B = [rng.integers(0, codec.codebook_size, n).tolist() for n in (1, 7, 23, 7, 40, 23)]
    together = codec.decode(tokens_B)
    for tokens, waveform in zip(tokens_B, together, strict=True):
        (alone,) = codec.decode([tokens])
        assert len(waveform) == len(tokens) * codec.sample_rate_hz / codec.tokens_per_s
        assert waveform.dtype == np.float32
        assert np.abs(waveform).max() <= 1.0
        np.testing.assert_allclose(waveform, alone, atol=1e-5)


def test_distant_tokens_do_not_change_a_waveform(codec: TinyCodec) -> None:
    rng = np.random.default_rng(1)
    tokens = rng.integers(0, codec.codebook_size, 30).tolist()
    (whole,), (start,) = codec.decode([tokens]), codec.decode([tokens[:20]])
    np.testing.assert_allclose(whole[: 12 * 1_280], start[: 12 * 1_280], atol=1e-5)
    assert np.abs(whole[19 * 1_280 : 20 * 1_280] - start[19 * 1_280 :]).max() > 1e-3


def test_joined_recordings_have_the_joined_tokens(codec: TinyCodec) -> None:
    rng = np.random.default_rng(2)
    loudness = np.repeat(rng.uniform(0, 0.5, 25), 1_280)
    waveform = (rng.standard_normal(25 * 1_280) * loudness).astype(np.float32)
    first, second = waveform[: 10 * 1_280], waveform[10 * 1_280 :]
    [whole], [start, end] = codec.encode([waveform]), codec.encode([first, second])
    assert whole == start + end
    assert len(set(whole)) > 3


def test_a_part_of_a_token_is_encoded_as_one(codec: TinyCodec) -> None:
    assert [len(tokens) for tokens in codec.encode([np.full(1_281, 0.1, np.float32)])] == [2]


@pytest.mark.parametrize("tokens", [[-1], [5, 1_000], [3, 2, 10**9]])
def test_tokens_outside_the_codebook_are_refused(codec: TinyCodec, tokens: list[int]) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1000\): got"):
        codec.decode([[1, 2, 3], tokens])


def test_an_utterance_of_nothing_is_refused(codec: TinyCodec) -> None:
    with pytest.raises(ValueError, match="no speech tokens"):
        codec.decode([[1, 2, 3], []])


def test_an_empty_batch_is_an_empty_batch(codec: TinyCodec) -> None:
    assert codec.decode([]) == []


def test_the_folder_is_known_by_its_model_type(codec: TinyCodec) -> None:
    loaded = load_codec(str(FOLDER))
    assert isinstance(loaded, TinyCodec)
    assert (loaded.codebook_size, loaded.sample_rate_hz, loaded.tokens_per_s) == (
        1000,
        16_000,
        12.5,
    )
    np.testing.assert_array_equal(loaded.decode([[1, 2]])[0], codec.decode([[1, 2]])[0])


def test_every_token_has_its_own_point(codec: TinyCodec) -> None:
    import torch

    quantizer = codec.model.quantizer
    points = quantizer.points(torch.arange(codec.codebook_size))
    assert len(torch.unique(points, dim=0)) == codec.codebook_size
    latents = 4 * torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(quantizer(latents), quantizer.points(quantizer.tokens(latents)))


def test_a_config_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    config = json.loads((FOLDER / "config.json").read_text()) | {"hidden": 3}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="hidden"):
        TinyCodec.load(str(tmp_path))
