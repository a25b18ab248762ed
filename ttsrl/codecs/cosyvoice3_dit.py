"""CosyVoice3's flow matching: a diffusion transformer (arXiv 2505.17589) in place of a U-Net.

Names and shapes are those of cosyvoice/flow/DiT (FunAudioLLM/CosyVoice), which is F5-TTS's DiT with
causal convolutions, so that its state dict fits key by key. Masks are exact: what is padded on the
right is not heard.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KERNEL, GROUPS, TIME_WIDTH, TIME_SCALE = 31, 16, 256, 1000.0


class TimeEmbedding(nn.Module):
    """Flow time [B] in [0, 1] -> [B, D]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.time_mlp = nn.Sequential(
            nn.Linear(TIME_WIDTH, width), nn.SiLU(), nn.Linear(width, width)
        )

    def forward(self, t_B: Tensor) -> Tensor:
        half = TIME_WIDTH // 2
        powers = torch.arange(half, device=t_B.device).float() / (half - 1)
        angles_BH = TIME_SCALE * t_B.float()[:, None] * 10_000.0**-powers
        return self.time_mlp(torch.cat([angles_BH.sin(), angles_BH.cos()], -1).to(t_B.dtype))


class CausalPosition(nn.Module):
    """Two grouped convolutions that look back: what tells a frame its place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv1d(width, width, KERNEL, groups=GROUPS), nn.Mish())
        self.conv2 = nn.Sequential(nn.Conv1d(width, width, KERNEL, groups=GROUPS), nn.Mish())

    def forward(self, x_BTD: Tensor) -> Tensor:
        x_BDT = x_BTD.mT
        for conv in (self.conv1, self.conv2):
            x_BDT = conv(F.pad(x_BDT, (KERNEL - 1, 0)))
        return x_BDT.mT


class InputEmbedding(nn.Module):
    """Noised mel, the voice's mel, what the tokens say, and the speaker -> [B, T, D]."""

    def __init__(self, mels: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(4 * mels, width)
        self.conv_pos_embed = CausalPosition(width)

    def forward(self, *parts_BTM: Tensor) -> Tensor:
        x_BTD = self.proj(torch.cat(parts_BTM, -1))
        return self.conv_pos_embed(x_BTD) + x_BTD


class Attention(nn.Module):
    """Self-attention; only the first head's queries and keys are rotated, as upstream rotates."""

    def __init__(self, width: int, heads: int, head_width: int) -> None:
        super().__init__()
        self.heads, inner = heads, heads * head_width
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, inner) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def forward(self, x_BTD: Tensor, heard_BT: Tensor, angles_TH: Tensor) -> Tensor:
        rotated = [rotate(to(x_BTD), angles_TH) for to in (self.to_q, self.to_k)]
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (*rotated, self.to_v(x_BTD))
        )
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=heard_BT[:, None, None])
        return self.to_out[0](out.transpose(1, 2).flatten(2)) * heard_BT[..., None]


class Modulated(nn.Module):
    """What time makes of a layer: `parts` vectors [B, D]."""

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, parts * width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.parts = parts

    def forward(self, time_BD: Tensor) -> tuple[Tensor, ...]:
        return self.linear(F.silu(time_BD))[:, None].chunk(self.parts, -1)


class FeedForward(nn.Module):
    """Two layers, wider between them."""

    def __init__(self, width: int, times: int) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(width, times * width), nn.GELU("tanh"))
        self.ff = nn.Sequential(first, nn.Identity(), nn.Linear(times * width, width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.ff(x_BTD)


class Block(nn.Module):
    """Attention and feed-forward layers, each modulated by time."""

    def __init__(self, width: int, heads: int, head_width: int, times: int) -> None:
        super().__init__()
        self.attn_norm = Modulated(width, 6)
        self.attn = Attention(width, heads, head_width)
        self.ff_norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.ff = FeedForward(width, times)

    def forward(self, x: Tensor, time_BD: Tensor, heard_BT: Tensor, angles_TH: Tensor) -> Tensor:
        shift, scale, gate, ff_shift, ff_scale, ff_gate = self.attn_norm(time_BD)
        normed = self.attn_norm.norm(x) * (1 + scale) + shift
        x = x + gate * self.attn(normed, heard_BT, angles_TH)
        return x + ff_gate * self.ff(self.ff_norm(x) * (1 + ff_scale) + ff_shift)


class DiT(nn.Module):
    """Velocity of the flow: mel -> mel."""

    def __init__(
        self, width: int, depth: int, heads: int, head_width: int = 64, mels: int = 80
    ) -> None:
        super().__init__()
        self.time_embed = TimeEmbedding(width)
        self.input_embed = InputEmbedding(mels, width)
        self.rotary_embed = nn.Module()
        frequencies_H = 10_000.0 ** -(torch.arange(0, head_width, 2).float() / head_width)
        self.rotary_embed.register_buffer("inv_freq", frequencies_H, persistent=False)
        self.transformer_blocks = nn.ModuleList(
            [Block(width, heads, head_width, times=2) for _ in range(depth)]
        )
        self.norm_out = Modulated(width, 2)
        self.proj_out = nn.Linear(width, mels)

    def forward(
        self, x: Tensor, mask: Tensor, mu: Tensor, t: Tensor, spks: Tensor, cond: Tensor
    ) -> Tensor:
        """Of mels [B, M, T] at times `t` [B]; `mask` [B, 1, T], `spks` [B, M]."""
        heard_BT, time_BD = mask[:, 0].bool(), self.time_embed(t)
        speaker_BTM = spks[:, None].expand(-1, x.shape[-1], -1)
        hidden = self.input_embed(x.mT, cond.mT, mu.mT, speaker_BTM)
        frequencies: Any = self.rotary_embed.inv_freq
        angles_TH = torch.outer(torch.arange(x.shape[-1], device=x.device).float(), frequencies)
        for block in self.transformer_blocks:
            hidden = block(hidden, time_BD, heard_BT, angles_TH)
        scale, shift = self.norm_out(time_BD)
        return self.proj_out(self.norm_out.norm(hidden) * (1 + scale) + shift).mT


def rotate(x_BTD: Tensor, angles_TH: Tensor) -> Tensor:
    """Rotary positions of the first 2 H numbers, in pairs of neighbours; the others stay."""
    width = 2 * angles_TH.shape[-1]
    pairs = x_BTD[..., :width].float().unflatten(-1, (-1, 2))
    sin_TH, cos_TH = angles_TH.sin(), angles_TH.cos()
    turned = torch.stack(
        [
            pairs[..., 0] * cos_TH - pairs[..., 1] * sin_TH,
            pairs[..., 1] * cos_TH + pairs[..., 0] * sin_TH,
        ],
        -1,
    )
    return torch.cat([turned.flatten(-2).to(x_BTD.dtype), x_BTD[..., width:]], -1)
