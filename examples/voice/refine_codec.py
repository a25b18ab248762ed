"""The decoder once more, against discriminators: fewer buzzing fricatives, the same tokens.

python -m examples.voice.refine_codec WORK
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from examples.voice.codec_folder import read_codec, write_codec
from examples.voice.discriminators import Discriminators, fooled, told_apart
from examples.voice.recordings import SpeechSoFar
from examples.voice.spectra import SpectralDistance
from examples.voice.stage import DEVICE, Budget, adamw, autocast, descend, prepare_device, wait_for
from examples.voice.train_codec import CODEC
from ttsrl.codecs.mel_network import MelCodecModel

REFINED = "codec_refined"
RATE = 4e-4
PIECE, EDGE = 25_600, 2_560
"""Samples of a piece, and of each of its ends, which are drawn without their neighbours."""
BATCH = 24
MOST_SHARDS = 600
RAMP = 300
"""Steps until the discriminators have their whole say."""


def main() -> None:
    """Train, and write WORK/codec_refined."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=4_000)
    parser.add_argument("--seconds", type=float, default=240.0)
    parser.add_argument("--batch", type=int, default=BATCH)
    given = parser.parse_args()
    prepare_device()
    wait_for(given.work, f"{CODEC}/model.safetensors")
    model = read_codec(given.work / CODEC).eval()
    refine(model, given.work, Budget("refined codec", given.steps, given.seconds), given.batch)
    write_codec(model, given.work / REFINED)


def refine(model: MelCodecModel, work: Path, budget: Budget, batch: int) -> None:
    """Train what is behind the quantiser; what is before it stays."""
    recordings = SpeechSoFar(work, MOST_SHARDS)
    distance, discriminators = SpectralDistance().to(DEVICE), Discriminators().to(DEVICE)
    drawing, judging = list(model.decoding()), list(discriminators.parameters())
    draws = adamw(drawing, RATE, 0.8, 0.99, decay=0.01)
    judges = adamw(judging, RATE, 0.8, 0.99, decay=0.01)
    for step in budget.run([draws, judges], RATE):
        wanted = recordings.pieces(batch, PIECE)
        with autocast():
            with torch.no_grad():
                points = model.quantizer(model.latents(wanted))
            drawn = model.synthesise(points)[:, EDGE:-EDGE]
        wanted = wanted[:, EDGE:-EDGE]
        with autocast():
            apart = told_apart(discriminators(wanted), discriminators(drawn.detach()))
        descend(judges, judging, apart, clip=5.0)
        mel, stft = distance(drawn, wanted)
        with autocast():
            with torch.no_grad():
                real = discriminators(wanted)
            against = fooled(real, discriminators(drawn))
        loss = 15 * mel + 3 * stft + 2 * min(1.0, step / RAMP) * against
        descend(draws, drawing, loss, clip=20.0)
        if budget.due():
            budget.tell(
                f"mel {mel.item():.4f}  stft {stft.item():.3f}  "
                f"told apart {apart.item():.3f}  against {against.item():.3f}"
            )


if __name__ == "__main__":
    main()
