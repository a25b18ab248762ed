"""XCodec2 of random weights in the real format, small enough for a test."""

from pathlib import Path
from typing import Any

import torch
import transformers


def save_tiny_xcodec2(
    path: Path,
    config_class: Any = transformers.Xcodec2Config,
    model_class: Any = transformers.Xcodec2Model,
    extractor_class: Any = transformers.Xcodec2FeatureExtractor,
) -> Path:
    """Write config, weights and feature extractor into the folder; norms and biases not neutral."""
    torch.manual_seed(0)
    config = config_class(
        hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=4, encoder_hidden_size=8, decoder_hidden_size=64, quantization_dim=96,
        semantic_model_config={
            "model_type": "wav2vec2-bert", "hidden_size": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 32, "output_hidden_size": 32,
        },
    )  # fmt: skip
    model = model_class(config)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if "acoustic_encoder" in name or name.startswith(("fc_encoder", "quantizer")):
                if weight.dim() > 1:  # as loud behind a layer as before it
                    torch.nn.init.kaiming_uniform_(weight, a=1.0)
            elif name.startswith(("acoustic_decoder", "semantic")):
                norm = "norm" in name and name.endswith("weight")
                weight.normal_(1.0 if norm else 0.0, 0.1)
        model.quantizer.project_in.weight.mul_(8.0)
    model.save_pretrained(path)
    extractor_class().save_pretrained(path)
    return path
