"""SNAC (arXiv 2410.14411) as Orpheus speaks it: 24 kHz, seven tokens for a frame of 85 ms.

The network is that of the PyPI package snac, with the weights of hubertsiuzdak/snac_24khz. SNAC has
three codebooks, of one, two and four codes a frame; a frame is written as seven speech tokens, and
the k-th of them is a code plus k times the codebook's size. The package's decoder draws noise anew
at every call and hears what pads a shorter utterance; here the noise comes from the tokens, and
nothing lies beyond an utterance's end, so that the same tokens sound the same alone and in any
batch. Shapes: B utterances, F frames, C channels, T steps of a layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.base import Precision, check_tokens
from ttsrl.codecs.precision import multiplying
from ttsrl.errors import BadInput, reason_of
from ttsrl.families.frames import misplaced

CONFIG, WEIGHTS = "config.json", "pytorch_model.bin"
PLACES = ((0,), (1, 4), (2, 3, 5, 6))
"""Places of a frame that each codebook fills, coarse to fine: Orpheus' own order, and Maya1's."""
FRAME_TOKENS = 7
FRAMES_AT_ONCE = 4_096
"""Frames, padding included, of one pass: about 6 minutes of speech."""


class SnacCodec:
    """See `ttsrl.codecs.base.FramedCodec`."""

    frame_tokens = FRAME_TOKENS

    def __init__(self, path: str, device: str = "cpu", precision: Precision = "float32") -> None:
        """`precision`: what a GPU multiplies in; weights and sums stay in float32."""
        self.network = load_snac(Path(path))
        self.device = torch.device(device)
        self.precision: Precision = precision
        for part in (self.network.quantizer, self.network.decoder):  # the encoder stays
            part.to(device)
        self.codes_each = int(self.network.codebook_size)
        self.codebook_size = FRAME_TOKENS * self.codes_each
        self.sample_rate_hz = int(self.network.sampling_rate)
        self.hop = int(self.network.hop_length) * max(self.network.vq_strides)
        self.tokens_per_s = FRAME_TOKENS * self.sample_rate_hz / self.hop

    @torch.inference_mode()
    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        """Decode utterances of any lengths >= 1; ValueError for tokens outside the codebook and for
        those out of their places."""
        for tokens in tokens_B:
            check_tokens(tokens, self.codebook_size)
            if wrong := misplaced(tokens, self.codebook_size, FRAME_TOKENS):
                raise ValueError(f"SNAC's tokens are out of their places: {wrong}")
        whole_B = [tuple(t[: len(t) // FRAME_TOKENS * FRAME_TOKENS]) for t in tokens_B]
        waveforms: dict[tuple[int, ...], Waveform] = {(): np.zeros(0, np.float32)}
        for batch in _batches(sorted({*whole_B} - {()}, key=lambda t: (len(t), t))):
            with multiplying(self.device, self.precision):
                samples_BS = self._speak(batch).float().cpu().numpy()
            for tokens, samples in zip(batch, samples_BS, strict=True):
                waveforms[tokens] = samples[: len(tokens) // FRAME_TOKENS * self.hop].copy()
        return [waveforms[tokens] for tokens in whole_B]

    def _speak(self, batch: list[tuple[int, ...]]) -> Tensor:
        """Samples [B, S]; those beyond an utterance's own are to be cut off."""
        frames_B = torch.tensor([len(tokens) // FRAME_TOKENS for tokens in batch])
        codes_BF7 = nn.utils.rnn.pad_sequence(
            [torch.tensor(tokens).view(-1, FRAME_TOKENS) % self.codes_each for tokens in batch],
            batch_first=True,
        ).to(self.device)
        codes = [codes_BF7[:, :, places].flatten(1) for places in map(list, PLACES)]
        sound_BCT = self.network.quantizer.from_codes(codes)
        speaker = _MaskedLayers(frames_B.to(self.device), codes_BF7.shape[1], batch)
        return speaker.run(self.network.decoder.model, sound_BCT)[:, 0]


class SnacEncoder:
    """See `ttsrl.codecs.base.Encoder`. One recording after another: it hears what pads it."""

    def __init__(self, path: str, device: str = "cpu") -> None:
        self.network = load_snac(Path(path)).to(device)
        self.device = device
        self.codes_each = int(self.network.codebook_size)
        self.codebook_size = FRAME_TOKENS * self.codes_each
        self.sample_rate_hz = int(self.network.sampling_rate)
        hop = int(self.network.hop_length) * max(self.network.vq_strides)
        self.tokens_per_s = FRAME_TOKENS * self.sample_rate_hz / hop

    @torch.inference_mode()
    def encode(self, waveforms_B: Sequence[Waveform]) -> list[list[int]]:
        """Encode recordings of any lengths >= 1 at 24 kHz; silence fills the last frame."""
        return [self._encode(waveform) for waveform in waveforms_B]

    def _encode(self, waveform: Waveform) -> list[int]:
        codes = self.network.encode(torch.from_numpy(waveform).to(self.device)[None, None])
        frames_F7 = torch.zeros(codes[0].shape[1], FRAME_TOKENS, dtype=torch.long)
        for level_BT, places in zip(codes, PLACES, strict=True):
            frames_F7[:, list(places)] = level_BT[0].cpu().view(-1, len(places))
        return (frames_F7 + self.codes_each * torch.arange(FRAME_TOKENS)).flatten().tolist()


class _MaskedLayers:
    """The package's layers over a padded batch, with zeros beyond an utterance's end."""

    def __init__(self, frames_B: Tensor, longest: int, batch: Sequence[tuple[int, ...]]) -> None:
        self.frames_B, self.longest, self.batch = frames_B, longest, batch
        self.noises = 0

    def run(self, layer: Any, x_BCT: Tensor) -> Tensor:
        """What a layer, or a sequence of them, makes of x [B, C, T]."""
        from snac.layers import DecoderBlock, NoiseBlock, ResidualUnit

        match layer:
            case nn.Sequential():
                for inner in layer:
                    x_BCT = self.run(inner, x_BCT)
                return x_BCT
            case DecoderBlock():
                return self.run(layer.block, x_BCT)
            case ResidualUnit():
                return x_BCT + self.run(layer.block, x_BCT)
            case NoiseBlock():
                return x_BCT + self._noise(x_BCT) * layer.linear(x_BCT)
            case nn.Conv1d() | nn.ConvTranspose1d():
                return layer(self._own(x_BCT))
            case _:  # one step at a time: an activation
                return layer(x_BCT)

    def _own(self, x_BCT: Tensor) -> Tensor:
        steps = x_BCT.shape[2]
        ends_B1 = (self.frames_B * (steps // self.longest))[:, None]
        return x_BCT * (torch.arange(steps, device=x_BCT.device) < ends_B1)[:, None]

    def _noise(self, x_BCT: Tensor) -> Tensor:
        """Normal numbers [B, 1, T] that depend on an utterance's tokens and the layer alone."""
        steps = x_BCT.shape[2] // self.longest
        self.noises += 1
        draw = partial(_normal, salt=self.noises, device=x_BCT.device)
        noise = [draw(tokens, steps * (len(tokens) // FRAME_TOKENS)) for tokens in self.batch]
        padded_BT = nn.utils.rnn.pad_sequence(noise, batch_first=True)
        return nn.functional.pad(padded_BT, (0, x_BCT.shape[2] - padded_BT.shape[1]))[:, None]


def load_snac(folder: Path) -> Any:
    """The package's network with the weights of a folder. Raises BadInput."""
    try:
        from snac import SNAC
    except ImportError:
        raise BadInput(
            f"the codec at {folder} is a SNAC, which needs the package snac; install it with "
            "`uv sync --extra reward --extra orpheus`"
        ) from None
    try:
        values: dict[str, Any] = json.loads((folder / CONFIG).read_bytes())
        network = SNAC(**values)
        network.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
    except Exception as error:  # pickle's, zip's, JSON's and torch's own
        raise BadInput(
            f"{folder} does not hold a whole SNAC: {reason_of(error)}; copy {CONFIG} and {WEIGHTS} "
            "again from hubertsiuzdak/snac_24khz"
        ) from error
    strides = [int(stride) for stride in network.vq_strides]
    if strides != [max(strides) // len(places) for places in PLACES] or network.attn_window_size:
        raise BadInput(
            f"the SNAC at {folder} has codebooks of strides {strides} and attention over "
            f"{network.attn_window_size} steps; Orpheus speaks hubertsiuzdak/snac_24khz, with "
            "strides [4, 2, 1] and no attention"
        )
    return network.eval()


def _batches(by_length: list[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Neighbours in length, as many as `FRAMES_AT_ONCE` holds."""
    batches: list[list[tuple[int, ...]]] = []
    for tokens in by_length:
        frames = len(tokens) // FRAME_TOKENS
        if not batches or frames * (len(batches[-1]) + 1) > FRAMES_AT_ONCE:
            batches.append([])
        batches[-1].append(tokens)
    return batches


def _normal(tokens: tuple[int, ...], count: int, salt: int, device: torch.device) -> Tensor:
    content = np.asarray((salt, *tokens), "<i4").tobytes()
    seed = int.from_bytes(hashlib.sha256(content).digest()[:8], "little") >> 1
    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(count, generator=generator, device=device)
