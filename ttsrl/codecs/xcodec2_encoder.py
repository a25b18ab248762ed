"""XCodec2's encoder for recordings of unequal lengths in one batch, each as if it were alone.

transformers' own `encode` has no mask but for the semantic model: its convolutions hear what pads
the shorter recordings, and its filters hold another last sample. The same modules are called here,
with zeros beyond a recording's end where a convolution pads with zeros itself, and with its last
sample where a filter repeats that. Shapes: B recordings, C channels, S samples, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.xcodec2 import load_xcodec2
from ttsrl.codecs.xcodec2_inputs import inputs_of


class XCodec2Encoder:
    """XCodec2's encoder; see `ttsrl.codecs.base.Encoder`.

    A recording of S samples has S // 320 + 1 tokens, as in the model's own repository. They are
    those of the recording alone, but where rounding decides between two codes.
    """

    def __init__(self, path: str, device: str = "cpu") -> None:
        model = load_xcodec2(path)
        self.inputs = inputs_of(Path(path))
        self.network = MaskedEncoder(model)
        for part in self.network.parts:  # the decoder stays where it is
            part.to(device)
        self.device = torch.device(device)
        self.codebook_size = int(torch.tensor(model.config.quantization_levels).prod())
        self.sample_rate_hz = int(model.config.sampling_rate)
        self.hop = int(model.config.hop_length)
        self.tokens_per_s = self.sample_rate_hz / self.hop

    @torch.inference_mode()
    def encode(self, waveforms_B: Sequence[Waveform]) -> list[list[int]]:
        """Encode recordings of any lengths >= 1 at 16 kHz."""
        lengths = [len(waveform) // self.hop + 1 for waveform in waveforms_B]
        samples_B1S, spectra_BTM = self.inputs(waveforms_B)
        codes_BT = self.network(
            samples_B1S.to(self.device),
            spectra_BTM.to(self.device),
            torch.tensor(lengths, device=self.device),
        ).tolist()
        return [codes[:length] for codes, length in zip(codes_BT, lengths, strict=True)]


class MaskedEncoder:
    """Samples, spectra and numbers of tokens -> codes; those behind a recording's own are noise."""

    def __init__(self, model: Any) -> None:
        self.semantic = model.semantic_encoder
        self.adapter = model.semantic_adapter
        self.acoustic = model.acoustic_encoder
        self.join = model.fc_encoder
        self.quantizer = model.quantizer
        self.ratios = [int(ratio) for ratio in model.config.downsampling_ratios]
        self.hop = int(model.config.hop_length)

    @property
    def parts(self) -> list[Any]:
        """All modules that compute."""
        return [self.semantic, self.adapter, self.acoustic, self.join, self.quantizer]

    def __call__(self, samples_B1S: Tensor, spectra_BTM: Tensor, lengths_B: Tensor) -> Tensor:
        """[B, 1, S], [B, T, M] and tokens of each recording -> codes [B, T]."""
        valid_BT = _valid(spectra_BTM.shape[1], lengths_B)
        heard = self.semantic(spectra_BTM, attention_mask=valid_BT.long()).last_hidden_state
        meaning_BCT = self._adapt(heard.transpose(1, 2), lengths_B)
        sound_BCT = self._listen(samples_B1S, lengths_B * self.hop)
        joined_BTC = self.join(torch.cat([meaning_BCT, sound_BCT], dim=1).transpose(1, 2))
        return self.quantizer(joined_BTC)[1][..., 0]

    def _adapt(self, x_BCT: Tensor, lengths_B: Tensor) -> Tensor:
        a = self.adapter
        x = residual = a.act1(_convolve(a.conv1, x_BCT, lengths_B))
        x = _convolve(a.conv3, a.act2(_convolve(a.conv2, x, lengths_B)), lengths_B)
        return _convolve(a.conv4, x + residual, lengths_B)

    def _listen(self, x_BCS: Tensor, lengths_B: Tensor) -> Tensor:
        x = _convolve(self.acoustic.conv1, x_BCS, lengths_B)
        for block, ratio in zip(self.acoustic.block, self.ratios, strict=True):
            for unit in (block.res_unit1, block.res_unit2, block.res_unit3):
                inner = _activate(unit.snake1, x, lengths_B)
                inner = _convolve(unit.conv1, inner, lengths_B)
                x = x + unit.conv2(_activate(unit.snake2, inner, lengths_B))
            x = _convolve(block.conv1, _activate(block.snake1, x, lengths_B), lengths_B)
            lengths_B = lengths_B // ratio
        return _convolve(
            self.acoustic.conv2, _activate(self.acoustic.snake1, x, lengths_B), lengths_B
        )


def _valid(length: int, lengths_B: Tensor) -> Tensor:
    """[B, T] bool: whether a position is a recording's own."""
    return torch.arange(length, device=lengths_B.device) < lengths_B[:, None]


def _convolve(convolution: Any, x_BCS: Tensor, lengths_B: Tensor) -> Tensor:
    return convolution(x_BCS * _valid(x_BCS.shape[2], lengths_B)[:, None])


def _activate(activation: Any, x_BCS: Tensor, lengths_B: Tensor) -> Tensor:
    """Snake at twice the rate, between two filters that repeat the last sample."""
    doubled = activation.act(activation.upsample(_hold(x_BCS, lengths_B)))
    return activation.downsample(_hold(doubled, 2 * lengths_B))


def _hold(x_BCS: Tensor, lengths_B: Tensor) -> Tensor:
    """Beyond a recording's end its last sample."""
    at_BS = torch.arange(x_BCS.shape[2], device=x_BCS.device).minimum(lengths_B[:, None] - 1)
    return x_BCS.gather(2, at_BS[:, None].expand(-1, x_BCS.shape[1], -1))
