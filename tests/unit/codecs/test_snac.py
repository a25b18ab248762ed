"""SNAC through its package, with random weights in the published files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.orpheus_files import write_snac
from ttsrl.codecs import snac
from ttsrl.codecs.base import FramedCodec, can_decode
from ttsrl.codecs.registry import codec_digest, load_codec, load_encoder
from ttsrl.errors import BadInput
from ttsrl.families.frames import example_tokens

FRAMES = (3, 9, 1, 3, 14)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_snac(tmp_path_factory.mktemp("snac"))


@pytest.fixture(scope="module")
def utterances() -> list[list[int]]:
    random = np.random.default_rng(0)
    return [
        (random.integers(0, 4096, (frames, 7)) + 4096 * np.arange(7)).flatten().tolist()
        for frames in FRAMES
    ]


def redistributed(tokens: list[int]) -> list[torch.Tensor]:
    """A frame's codes for SNAC's three codebooks, as Orpheus' decoder.py lists them."""
    f = [[t % 4096 for t in tokens[k : k + 7]] for k in range(0, len(tokens), 7)]
    levels = [
        [x[0] for x in f],
        [code for x in f for code in (x[1], x[4])],
        [code for x in f for code in (x[2], x[3], x[5], x[6])],
    ]
    return [torch.tensor(level)[None] for level in levels]


def test_unequal_lengths_sound_as_the_package_decodes_each_alone(
    folder: Path, utterances: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from snac import SNAC

    codec = load_codec(str(folder))
    assert isinstance(codec, FramedCodec)
    assert (codec.codebook_size, codec.sample_rate_hz, codec.frame_tokens) == (28_672, 24_000, 7)
    assert codec.tokens_per_s == pytest.approx(82.03, abs=0.01)
    together = codec.decode(utterances)
    network: Any = SNAC.from_pretrained(str(folder))
    drawn = torch.randn
    for tokens, waveform in zip(utterances, together, strict=True):
        layers = iter(range(1, 99))

        def noise(
            *shape: Any, tokens: Any = tuple(tokens), layers: Any = layers, **how: Any
        ) -> Any:
            if "generator" in how:
                return drawn(*shape, **how)
            return snac._normal(tokens, shape[0][2], next(layers), how["device"])[None, None]

        with monkeypatch.context() as patch, torch.inference_mode():
            patch.setattr(torch, "randn", noise)
            alone = network.decode(redistributed(tokens)).flatten().numpy()
        assert len(waveform) == len(alone) == 2048 * len(tokens) // 7
        assert np.abs(waveform).max() > 0.01
        np.testing.assert_allclose(waveform, alone, atol=1e-5)


def test_a_waveform_depends_on_its_tokens_alone(
    folder: Path, utterances: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = load_codec(str(folder))
    together = codec.decode(utterances)
    again = codec.decode(utterances[::-1])[::-1]
    for one, other in zip(together, again, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr(snac, "FRAMES_AT_ONCE", 10)
    for one, other in zip(together, codec.decode(utterances), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_last_frame_that_is_not_whole_is_left_out(
    folder: Path, utterances: list[list[int]]
) -> None:
    codec = load_codec(str(folder))
    [cut, none, whole] = codec.decode([utterances[0][:-2], utterances[0][:5], utterances[0][:14]])
    assert len(none) == 0
    np.testing.assert_array_equal(cut, whole)


def test_tokens_out_of_their_places_are_refused(folder: Path, utterances: list[list[int]]) -> None:
    codec = load_codec(str(folder))
    shifted = utterances[0][1:]
    assert can_decode(codec, utterances[0])
    assert not can_decode(codec, shifted)
    assert not can_decode(codec, [])
    with pytest.raises(ValueError, match=r"token 0 is \d+, and place 0 of a frame of 7 takes \[0,"):
        codec.decode([utterances[1], shifted])
    with pytest.raises(ValueError, match="28672"):
        codec.decode([[28_672]])


def test_the_encoder_writes_the_packages_codes_in_their_places(folder: Path) -> None:
    from snac import SNAC

    encoder = load_encoder(str(folder))
    random = np.random.default_rng(1)
    waves = [random.normal(0, 0.1, n).astype(np.float32) for n in (5_000, 2_048)]
    together = encoder.encode(waves)
    assert together[1] == encoder.encode(waves[1:])[0]
    network: Any = SNAC.from_pretrained(str(folder))
    for wave, tokens in zip(waves, together, strict=True):
        with torch.inference_mode():
            codes = network.encode(torch.from_numpy(wave)[None, None])
        for expected, level in zip(codes, redistributed(tokens), strict=True):
            assert torch.equal(expected, level)
    assert [len(tokens) for tokens in together] == [21, 7]


def test_other_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    assert len(codec_digest(str(folder), None)) == 64
    broken = write_snac(tmp_path / "broken")
    weights = (broken / "pytorch_model.bin").read_bytes()
    (broken / "pytorch_model.bin").write_bytes(weights[:-100])
    with pytest.raises(BadInput, match=r"does not hold a whole SNAC.*hubertsiuzdak/snac_24khz"):
        load_codec(str(broken))
    config = (broken / "config.json").read_text().replace("[4, 2, 1]", "[8, 4, 2, 1]")
    (broken / "config.json").write_text(config)
    with pytest.raises(BadInput, match="SNAC"):
        load_codec(str(broken))


def test_example_tokens_are_in_their_places(folder: Path) -> None:
    codec = load_codec(str(folder))
    tokens = example_tokens(100, codec.codebook_size, 7, first=4_000)
    assert len(tokens) == 98
    assert can_decode(codec, tokens)
    assert example_tokens(3, 10, 1, first=2) == [2, 9, 6]
