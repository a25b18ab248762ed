"""HKUSTAudio/xcodec2 as its authors published it, against their own classes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from original import SmallOriginal, heard_at, save_as_published
from safetensors.torch import load_file, save_file

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.registry import load_codec, load_encoder
from ttsrl.data.audit_clips import SHIPPED
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice

CLIP = SHIPPED.with_name("austen-0880.flac")
FROM_AN_EDGE = 1e-3
"""Codes may differ where a value of the authors' is as near the edge of a level, levels being 1
apart: what two ways of multiplying float32 leave, times what the weights make of it."""


@pytest.fixture(scope="module")
def original() -> SmallOriginal:
    torch.manual_seed(0)
    return SmallOriginal().eval()


@pytest.mark.parametrize("older_names", [False, True])
def test_waveforms_are_those_of_the_authors_classes(
    original: SmallOriginal, older_names: bool, tmp_path: Path
) -> None:
    codec = load_codec(str(save_as_published(original, tmp_path, older_names=older_names)))
    assert (codec.codebook_size, codec.sample_rate_hz, codec.tokens_per_s) == (65_536, 16_000, 50)
    random = np.random.default_rng(0)
    for length in (1, 12, 57):
        tokens = random.integers(0, 65_536, length).tolist()
        theirs = original.decode_code(torch.tensor(tokens)[None, None]).flatten().clamp(-1, 1)
        [ours] = codec.decode([tokens])
        assert np.abs(ours).max() > 0.01
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


@pytest.fixture(scope="module")
def recordings() -> list[Waveform]:
    """Of a person; voices without any noise between their harmonics; silence; hardly any."""
    clip, rate = soundfile.read(CLIP, dtype="float32")
    assert rate == 16_000
    voices = [voice(n / rate, pitch_hz=120.0 + n % 7 * 20)[:n] for n in (8_000, 20_480, 12_345)]
    silence = np.zeros(4_000, np.float32)
    part = np.concatenate([silence, clip[8_000:16_000], silence])
    return [clip, *voices, part, silence, *(clip[9_000:][:n] for n in (1, 319, 320, 321))]


def test_codes_are_those_of_the_authors_class(recordings: list[Waveform], tmp_path: Path) -> None:
    torch.manual_seed(0)
    original = SmallOriginal().eval()
    original.balance(torch.from_numpy(recordings[0])[None])
    encoder = load_encoder(str(save_as_published(original, tmp_path)))
    seen: set[int] = set()
    for waveform, ours in zip(recordings, encoder.encode(recordings), strict=True):
        theirs, edges = _codes_and_edges(original, waveform)
        assert len(ours) == len(theirs) == len(waveform) // 320 + 1
        changed = np.abs(_digits(np.array(ours)) - _digits(theirs))
        assert changed.max() <= 1
        assert edges[changed > 0].max(initial=0.0) < FROM_AN_EDGE
        seen |= set(theirs.tolist())
    assert len(seen) > 200


def _codes_and_edges(original: SmallOriginal, waveform: Waveform) -> tuple[np.ndarray, np.ndarray]:
    """The codes [T], and how far each of their digits [T, 8] is from the next level."""
    codes: list[torch.Tensor] = []
    quantizer = original.generator.quantizer
    values = heard_at(
        quantizer.project_in,
        lambda: codes.append(original.encode_code(torch.from_numpy(waveform)[None])),
    )
    bound = quantizer.layers[0].bound
    levels = bound(bound(values))[0].numpy()
    return codes[0].flatten().numpy(), np.abs(levels - np.floor(levels) - 0.5)


def _digits(codes_T: np.ndarray) -> np.ndarray:
    """[T, 8], each of 4 levels."""
    return codes_T[:, None] // 4 ** np.arange(8) % 4


def test_a_weight_too_few_or_too_many_is_refused(original: SmallOriginal, tmp_path: Path) -> None:
    file = save_as_published(original, tmp_path) / "model.safetensors"
    whole = load_file(file)
    for lost in ("fc_post_a.bias", "CodecEnc.conv_blocks.0.parametrizations.weight.original0"):
        save_file({n: t for n, t in whole.items() if n != lost}, file, {"format": "pt"})
        with pytest.raises(BadInput, match=r"lacks 1 weights|is not a whole XCodec2"):
            load_codec(str(tmp_path))
    save_file(whole | {"generator.planted": torch.ones(1)}, file, {"format": "pt"})
    with pytest.raises(BadInput, match=r"has 1 weights .* first generator\.planted"):
        load_codec(str(tmp_path))
