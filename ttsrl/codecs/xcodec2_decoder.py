"""XCodec2's decoder for utterances of unequal lengths in one batch, each as if it were alone.

transformers' own decoder has no mask: convolutions, group norms and attention hear what pads the
shorter ones. The same modules are called here, with nothing beyond an utterance's end: silence
where a convolution pads with zeros itself, and no part in a mean, a soft-max or the overlap-add.
Shapes: B utterances, T tokens, D channels.
"""

# transformers declares some types only in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class MaskedDecoder:
    """Codes and their lengths -> samples; what lies behind an utterance's own is to be cut off."""

    def __init__(self, model: Any) -> None:
        self.quantizer = model.quantizer
        self.decoder = model.acoustic_decoder
        self.hop = int(model.config.hop_length)

    def __call__(self, codes_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Codes padded with any code -> samples [B, T hop]."""
        d = self.decoder
        valid_BT = torch.arange(codes_BT.shape[1], device=codes_BT.device) < lengths_B[:, None]
        valid_BT1 = valid_BT[..., None]
        x = d.fc(self.quantizer.from_codes(codes_BT[..., None]))
        x = d.embed((x * valid_BT1).transpose(1, 2)).transpose(1, 2)
        for block in d.prior_net:
            x = _residual(block, x, valid_BT1)
        rotary = d.rotary_emb(x, torch.arange(d.num_attention_heads, device=x.device)[None])
        unheard = torch.zeros_like(valid_BT, dtype=x.dtype).masked_fill(~valid_BT, -torch.inf)
        for layer in d.layers:
            x = layer(x, attention_mask=unheard[:, None, None], position_embeddings=rotary)
        for block in d.post_net:
            x = _residual(block, x, valid_BT1)
        return self._waveform(d.head, d.norm(x), valid_BT)

    def _waveform(self, head: Any, x_BTD: Tensor, valid_BT: Tensor) -> Tensor:
        """Inverse short-time Fourier transform; a frame is as long as in the whole utterance."""
        magnitude, phase = head.linear(x_BTD).float().chunk(2, -1)
        spectrum = torch.polar(magnitude.exp().clamp(max=1e2), phase)
        frames_BTN = torch.fft.irfft(spectrum, head.n_fft, dim=-1) * head.window
        frames_BTN = frames_BTN * valid_BT[..., None]
        size = (valid_BT.shape[1] - 1) * self.hop + head.n_fft
        summed = F.fold(
            frames_BTN.transpose(1, 2),
            output_size=(1, size),
            kernel_size=(1, head.n_fft),
            stride=(1, self.hop),
        )[:, 0, 0]
        window = head.window.square()[None, None]
        weights = F.conv_transpose1d(valid_BT[:, None].float(), window, stride=self.hop)[:, 0]
        inner = slice(head.padding, size - head.padding)
        return summed[:, inner] / weights[:, inner].clamp(min=1e-11)


def _residual(block: Any, x_BTD: Tensor, valid_BT1: Tensor) -> Tensor:
    """A residual block of two convolutions."""
    x = block.activation1(_group_norm(block.norm1, x_BTD, valid_BT1))
    x = _convolve(block.conv1, x, valid_BT1)
    x = block.activation2(_group_norm(block.norm2, x, valid_BT1))
    return x_BTD + _convolve(block.conv2, x, valid_BT1)


def _convolve(convolution: Any, x_BTD: Tensor, valid_BT1: Tensor) -> Tensor:
    return convolution((x_BTD * valid_BT1).transpose(1, 2)).transpose(1, 2)


def _group_norm(norm: Any, x_BTD: Tensor, valid_BT1: Tensor) -> Tensor:
    """Mean and variance over the channels of a group and the utterance's own positions."""
    rows, length, width = x_BTD.shape
    x = x_BTD.float().view(rows, length, norm.num_groups, -1)
    valid = valid_BT1[..., None]
    count = valid.sum((1, 3), keepdim=True) * (width // norm.num_groups)
    mean = (x * valid).sum((1, 3), keepdim=True) / count
    variance = ((x - mean) * valid).square().sum((1, 3), keepdim=True) / count
    x = ((x - mean) * torch.rsqrt(variance + norm.eps)).view(rows, length, width)
    return (x * norm.weight + norm.bias).to(x_BTD.dtype)
