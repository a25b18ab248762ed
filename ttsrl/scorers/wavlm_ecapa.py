"""The speaker model of Seed-TTS-eval: WavLM-Large under an ECAPA-TDNN, `wavlm_large_finetune.pth`.

The weighted sum of all of WavLM's hidden states (SUPERB, arXiv 2105.01051) goes through an
ECAPA-TDNN of 512 channels (arXiv 2005.07143) to 256 numbers. Structure and names of the weights:
microsoft/UniSpeech, downstreams/speaker_verification/models/ecapa_tdnn.py, which Seed-TTS-eval
carries along. WavLM itself is transformers' class; its weights are renamed on loading.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ttsrl.errors import BadInput, reason_of
from ttsrl.models.hub import fill

CHANNELS, POOLED, EMBEDDING, SCALE, BOTTLENECK = 512, 1536, 256, 8, 128
WAVLM = "feature_extract.model."
"""What the names of WavLM's weights begin with in the published file."""

UNUSED = (r"^loss_calculator\.",)
"""The classifier of the speakers that it was trained with."""
RENAMED = (
    (r"^mask_emb$", "masked_spec_embed"),
    (r"^feature_extractor\.conv_layers\.(\d+)\.0\.", r"feature_extractor.conv_layers.\1.conv."),
    (
        r"^feature_extractor\.conv_layers\.(\d+)\.2\.(?:1\.)?",
        r"feature_extractor.conv_layers.\1.layer_norm.",
    ),
    (r"^layer_norm\.", "feature_projection.layer_norm."),
    (r"^post_extract_proj\.", "feature_projection.projection."),
    (r"^encoder\.pos_conv\.0\.weight_g$", "encoder.pos_conv_embed.conv.weight_g"),
    (r"^encoder\.pos_conv\.0\.weight_v$", "encoder.pos_conv_embed.conv.weight_v"),
    (r"^encoder\.pos_conv\.0\.bias$", "encoder.pos_conv_embed.conv.bias"),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn\.", ".attention."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
    (r"weight_g$", "parametrizations.weight.original0"),
    (r"weight_v$", "parametrizations.weight.original1"),
)
"""WavLM's own names -> those of transformers, applied in this order."""


class WavLmEcapa(nn.Module):
    """Waveforms [B, T] at 16 kHz, each of mean 0 and variance 1 -> embeddings [B, 256]."""

    def __init__(self, wavlm: nn.Module, states: int, width: int) -> None:
        super().__init__()
        self.wavlm = wavlm
        self.feature_weight = nn.Parameter(torch.zeros(states))
        self.instance_norm = nn.InstanceNorm1d(width)
        self.layer1 = ConvReluNorm(width, CHANNELS, kernel=5, padding=2)
        self.layer2 = Res2Block(dilation=2)
        self.layer3 = Res2Block(dilation=3)
        self.layer4 = Res2Block(dilation=4)
        self.conv = nn.Conv1d(3 * CHANNELS, POOLED, 1)
        self.pooling = AttentivePooling()
        self.bn = nn.BatchNorm1d(2 * POOLED)
        self.linear = nn.Linear(2 * POOLED, EMBEDDING)

    def forward(self, waveforms_BT: Tensor) -> Tensor:
        states = torch.stack(self.wavlm(waveforms_BT, output_hidden_states=True).hidden_states)
        weights = self.feature_weight.softmax(0)[:, None, None, None]
        features_BDT = self.instance_norm((weights * states).sum(0).transpose(1, 2) + 1e-6)
        first = self.layer1(features_BDT)
        second = self.layer2(first)
        third = self.layer3(second)
        fourth = self.layer4(third)
        pooled = self.pooling(F.relu(self.conv(torch.cat([second, third, fourth], dim=1))))
        return self.linear(self.bn(pooled))


class ConvReluNorm(nn.Module):
    """Convolution, ReLU, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, padding=padding)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(F.relu(self.conv(x)))


class Res2Conv(nn.Module):
    """Channels in 8 groups: each but the last is convolved together with the one before it."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        width = CHANNELS // SCALE
        self.convs = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)
            for _ in range(SCALE - 1)
        )
        self.bns = nn.ModuleList(nn.BatchNorm1d(width) for _ in range(SCALE - 1))

    def forward(self, x: Tensor) -> Tensor:
        *groups, last = x.chunk(SCALE, dim=1)
        done: list[Tensor] = []
        for group, conv, norm in zip(groups, self.convs, self.bns, strict=True):
            done.append(norm(F.relu(conv(group + done[-1] if done else group))))
        return torch.cat([*done, last], dim=1)


class SqueezeExcitation(nn.Module):
    """Scales each channel by what the means of all of them say."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(CHANNELS, BOTTLENECK)
        self.linear2 = nn.Linear(BOTTLENECK, CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.linear2(F.relu(self.linear1(x.mean(2)))).sigmoid()
        return x * scale[:, :, None]


class Res2Block(nn.Module):
    """The SE-Res2Block of ECAPA-TDNN; attributes are named as in the published weights."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.Conv1dReluBn1 = ConvReluNorm(CHANNELS, CHANNELS)
        self.Res2Conv1dReluBn = Res2Conv(dilation)
        self.Conv1dReluBn2 = ConvReluNorm(CHANNELS, CHANNELS)
        self.SE_Connect = SqueezeExcitation()

    def forward(self, x: Tensor) -> Tensor:
        convolved = self.Conv1dReluBn2(self.Res2Conv1dReluBn(self.Conv1dReluBn1(x)))
        return x + self.SE_Connect(convolved)


class AttentivePooling(nn.Module):
    """[B, D, T] -> weighted mean and standard deviation over time, [B, 2 D]."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Conv1d(POOLED, BOTTLENECK, 1)
        self.linear2 = nn.Conv1d(BOTTLENECK, POOLED, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.linear2(self.linear1(x).tanh()).softmax(2)
        mean = (weights * x).sum(2)
        variance = (weights * x.square()).sum(2) - mean.square()
        return torch.cat([mean, variance.clamp_min(1e-9).sqrt()], dim=1)


def load_wavlm_ecapa(file: Path) -> WavLmEcapa:
    """Load the published file; its sizes are read off the weights. Raises BadInput."""
    from transformers import WavLMModel

    try:
        weights = torch.load(file, map_location="cpu", weights_only=True)["model"]
    except Exception as error:  # pickle and zip have many
        raise BadInput(
            f"{file} is not a speaker model of Seed-TTS-eval: {reason_of(error)}; give its "
            "wavlm_large_finetune.pth, or the folder of a Hugging Face WavLM with an x-vector head"
        ) from error
    own = {name.removeprefix(WAVLM): w for name, w in weights.items() if name.startswith(WAVLM)}
    head = {name: w for name, w in weights.items() if not name.startswith(WAVLM)}
    try:
        config = _config_of(own)
    except KeyError as error:
        raise BadInput(f"{file} has no {WAVLM}{error.args[0]}: it is no WavLM") from None
    model = WavLmEcapa(WavLMModel(config), config.num_hidden_layers + 1, config.hidden_size)
    named = {f"wavlm.{_renamed(name)}": weight for name, weight in own.items()} | head
    fill(model, named, file, without=UNUSED)
    return model.eval()


def _renamed(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _config_of(weights: Mapping[str, Tensor]) -> Any:
    """Sizes of the WavLM; what weights do not tell is WavLM-Large's."""
    from transformers import WavLMConfig

    layers = {int(m[1]) for name in weights if (m := re.match(r"encoder\.layers\.(\d+)\.", name))}
    kernels = [w for n, w in weights.items() if re.search(r"conv_layers\.\d+\.0\.weight$", n)]
    buckets, heads = weights["encoder.layers.0.self_attn.relative_attention_bias.weight"].shape
    position = weights["encoder.pos_conv.0.weight_v"]
    hidden = weights["post_extract_proj.weight"].shape[0]
    return WavLMConfig(
        hidden_size=hidden,
        num_hidden_layers=len(layers),
        num_attention_heads=heads,
        intermediate_size=weights["encoder.layers.0.fc1.weight"].shape[0],
        conv_dim=[kernel.shape[0] for kernel in kernels],
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_buckets=buckets,
        num_conv_pos_embeddings=position.shape[2],
        num_conv_pos_embedding_groups=hidden // position.shape[1],
    )
