"""The codec: encoder, quantiser and decoder by spectral losses, while flite still speaks.

python -m examples.voice.train_codec WORK
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from examples.voice.codec_folder import write_codec
from examples.voice.recordings import SpeechSoFar
from examples.voice.spectra import SpectralDistance
from examples.voice.stage import (
    DEVICE,
    Budget,
    adamw,
    autocast,
    descend,
    prepare_device,
    wait_for,
)
from examples.voice.synthesise import ENDED, SPEECH
from ttsrl.codecs.mel_network import MelCodecConfig, MelCodecModel

CODEC = "codec"
RATE = 1.5e-3
PIECE = 30_720
"""Samples of a piece: 48 tokens."""
BATCH = 48
MOST_SHARDS = 300
REFRESH_S = 8.0


def main() -> None:
    """Train, and write WORK/codec."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--seconds", type=float, default=110.0)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--shards", type=int, default=50, help="shards to wait for")
    parser.add_argument("--small", action="store_true", help="a codec to try the stages with")
    given = parser.parse_args()
    prepare_device()
    wait_for(given.work / SPEECH, "*.npz", given.shards, given.work / ENDED)
    config = MelCodecConfig(hidden_size=48) if given.small else MelCodecConfig()
    model = MelCodecModel(config).to(DEVICE).train()
    train(model, given.work, Budget("codec", given.steps, given.seconds), given.batch)
    write_codec(model, given.work / CODEC)


def train(model: MelCodecModel, work: Path, budget: Budget, batch: int) -> None:
    """Make pieces of speech pass through the bottleneck."""
    distance, recordings = SpectralDistance().to(DEVICE), SpeechSoFar(work, MOST_SHARDS)
    parameters = list(model.parameters())
    optimizer = adamw(parameters, RATE, 0.8, 0.98, decay=0.01)
    for _ in budget.run([optimizer], RATE):
        wanted = recordings.pieces(batch, PIECE)
        with autocast():
            latents = model.latents(wanted)
            drawn = model.synthesise(model.quantizer(latents))
        mel, stft = distance(drawn, wanted)
        descend(optimizer, parameters, 2 * mel + stft + 0.1 * correlation(latents), clip=1.0)
        if budget.due(REFRESH_S):
            used = len(torch.unique(model.quantizer.tokens(latents)))
            budget.tell(f"mel {mel.item():.4f}  stft {stft.item():.3f}  codes of a batch {used}")
            recordings.refresh()


def correlation(latents: Tensor) -> Tensor:
    """How far the dimensions of [B, T, D] say the same: they would share the codes otherwise."""
    flat = latents.flatten(0, 1)
    return (flat.T @ flat / len(flat)).fill_diagonal_(0).square().sum()


if __name__ == "__main__":
    main()
