"""XCodec2 in the classes of its authors (PyPI: xcodec2), small, with random weights."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import SeamlessM4TFeatureExtractor, Wav2Vec2BertConfig, Wav2Vec2BertModel


def only_torchtune_s_rotary_embedding() -> None:
    """The one class that xcodec2 takes of torchtune, whose package wants torchao at its import."""
    if "torchtune" in sys.modules:
        return
    package = importlib.util.find_spec("torchtune")
    assert package is not None and package.submodule_search_locations
    file = Path(package.submodule_search_locations[0]) / "modules" / "position_embeddings.py"
    spec = importlib.util.spec_from_file_location("torchtune_position_embeddings", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    modules: Any = ModuleType("torchtune.modules")
    modules.RotaryPositionalEmbeddings = module.RotaryPositionalEmbeddings
    sys.modules["torchtune"] = ModuleType("torchtune")
    sys.modules["torchtune.modules"] = modules


class SmallOriginal(torch.nn.Module):
    """XCodec2Model without the 2.4 GB that its own __init__ downloads; its methods are its own."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        only_torchtune_s_rotary_embedding()
        from xcodec2.modeling_xcodec2 import XCodec2Model
        from xcodec2.vq.codec_decoder_vocos import CodecDecoderVocos
        from xcodec2.vq.codec_encoder import CodecEncoder_Transformer
        from xcodec2.vq.module import SemanticEncoder

        super().__init__()
        semantic = Wav2Vec2BertConfig(
            hidden_size=128, num_hidden_layers=17, num_attention_heads=2, intermediate_size=64,
            output_hidden_size=128, output_hidden_states=True,
        )  # fmt: skip
        self.semantic_model = Wav2Vec2BertModel(semantic)
        self.SemanticEncoder_module = SemanticEncoder(128, 128, 128)
        self.CodecEnc = CodecEncoder_Transformer(ngf=8, hidden_dim=128)
        self.generator = CodecDecoderVocos(hidden_dim=128, depth=2, heads=2, vq_dim=256)
        self.fc_prior = torch.nn.Linear(256, 256)
        self.fc_post_a = torch.nn.Linear(256, 128)
        # the values of facebook/w2v-bert-2.0
        self.feature_extractor = SeamlessM4TFeatureExtractor(
            feature_size=80, num_mel_bins=80, sampling_rate=16_000, stride=2, padding_value=1
        )
        self.original_class = XCodec2Model
        self._spread()

    def encode_code(self, waveform: torch.Tensor) -> torch.Tensor:
        return self.original_class.encode_code(self, waveform)

    def decode_code(self, codes: torch.Tensor) -> torch.Tensor:
        return self.original_class.decode_code(self, codes)

    @torch.no_grad()
    def balance(self, waveform: torch.Tensor) -> None:
        """Make both encoders as loud as each other and every digit of a code use all levels: for
        random weights the sound is 1000 times quieter than the meaning, and codes hardly differ."""
        final = self.CodecEnc.conv_final_block[1]
        mean, std = self._moments(self.CodecEnc, waveform, dims=(0, 1))
        final.parametrizations.weight.original0.div_(std[:, None, None])
        final.bias.sub_(mean).div_(std)
        _, std = self._moments(self.SemanticEncoder_module, waveform, dims=(0, 2))
        self.SemanticEncoder_module.final_conv.weight.div_(std[:, None, None])
        final = self.generator.quantizer.project_in
        mean, std = self._moments(final, waveform, dims=(0, 1))
        final.weight.div_(std[:, None])
        final.bias.sub_(mean).div_(std)

    def _moments(
        self, module: torch.nn.Module, waveform: torch.Tensor, dims: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of the channels of what a module gives while `waveform` [1, S] is encoded."""
        seen = heard_at(module, lambda: self.encode_code(waveform))
        return seen.mean(dims), seen.std(dims)

    @torch.no_grad()
    def _spread(self) -> None:
        """Weights for which codes differ, and norms and biases that are not neutral."""
        for name, weight in sorted(self.named_parameters()):
            if name.startswith(("CodecEnc", "fc_prior", "generator.quantizer")):
                if weight.dim() > 1 and not name.endswith("original0"):
                    torch.nn.init.kaiming_uniform_(weight, a=1.0)
            else:
                weight.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.1)
        self.generator.quantizer.project_in.weight.mul_(8.0)


def heard_at(module: torch.nn.Module, encode: Callable[[], object]) -> torch.Tensor:
    """What a module gives while `encode` runs."""
    seen: list[torch.Tensor] = []
    hook = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    encode()
    hook.remove()
    [output] = seen
    return output


def save_as_published(model: SmallOriginal, folder: Path, *, older_names: bool = False) -> Path:
    """The folder as HKUSTAudio/xcodec2 has it; `older_names`: those of torch's former weight norm
    and of the authors' training code."""
    state = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
    if older_names:
        for new, old in (
            ("parametrizations.weight.original0", "weight_g"),
            ("parametrizations.weight.original1", "weight_v"),
            ("act.bias", "act.beta"),
        ):
            state = {name.replace(new, old): tensor for name, tensor in state.items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    sizes = dict.fromkeys(
        ("semantic_hidden_size", "codec_encoder_hidden_size", "codec_decoder_hidden_size"), 1024
    )
    config = {"model_type": "xcodec2", **sizes, "use_vocos": True}
    (folder / "config.json").write_text(json.dumps(config))
    return folder
