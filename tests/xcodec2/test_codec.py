"""XCodec2 through transformers' own class, in an environment of its own: `make test-xcodec2`."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from ttsrl.codecs import load_codec


def test_the_real_class_decodes_the_same_alone_and_in_a_batch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.Xcodec2Config(
        hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=4, encoder_hidden_size=8, decoder_hidden_size=64, quantization_dim=96,
        semantic_model_config={
            "model_type": "wav2vec2-bert", "hidden_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 32, "output_hidden_size": 32,
        },
    )  # fmt: skip
    transformers.Xcodec2Model(config).save_pretrained(tmp_path)
    codec = load_codec(str(tmp_path))
    assert (codec.codebook_size, codec.sample_rate_hz, codec.tokens_per_s) == (65_536, 16_000, 50)

    utterances = [[1, 2, 3, 65_535] * 3, [7] * 20, [4, 5, 6, 0] * 3]
    together = codec.decode(utterances)
    for tokens, waveform in zip(utterances, together, strict=True):
        assert len(waveform) == 320 * len(tokens)
        np.testing.assert_allclose(codec.decode([tokens])[0], waveform, atol=1e-5)
    with pytest.raises(ValueError, match="65536"):
        codec.decode([[65_536]])
