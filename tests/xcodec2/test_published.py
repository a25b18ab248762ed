"""HKUSTAudio/xcodec2 as its authors published it, against their own classes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from original import SmallOriginal, save_as_published
from safetensors.torch import load_file, save_file

from ttsrl.codecs.registry import load_codec
from ttsrl.errors import BadInput


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
