"""Shards of speech become shards of tokens, while flite still speaks.

python -m examples.voice.encode WORK

Each recording is encoded at several shifts of the 40 ms grid, so that the policy does not learn one
accidental alignment by heart.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from examples.voice.codec_folder import read_codec
from examples.voice.corpus import read_shard, write_shard
from examples.voice.stage import WAIT_S, autocast, prepare_device, wait_for
from examples.voice.synthesise import ENDED, SPEECH
from examples.voice.train_codec import CODEC
from ttsrl.codecs.mel_network import MelCodecModel

TOKENS = "tokens"
ALL_TOKENS = "tokens.ended"
"""File that tells: no further shard will come."""
SHARDS_AT_ONCE = 8
BATCH = 128
ROUND = 16
"""Tokens: lengths are rounded up, so that a GPU meets few different shapes."""


def main() -> None:
    """Encode what comes until nothing more will."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--shifts", type=int, default=3)
    given = parser.parse_args()
    prepare_device()
    wait_for(given.work, f"{CODEC}/model.safetensors")
    encode_all(given.work, read_codec(given.work / CODEC).eval(), given.shifts)


def encode_all(work: Path, model: MelCodecModel, shifts: int) -> None:
    """A file of tokens for each of speech; what is there is kept."""
    while True:
        ended = (work / ENDED).exists()
        done = {path.name for path in (work / TOKENS).glob("*.npz")}
        new = [path for path in sorted((work / SPEECH).glob("*.npz")) if path.name not in done]
        new = new[:SHARDS_AT_ONCE]
        if new:
            shards = [read_shard(path) for path in new]
            recordings = [one for shard in shards for one in shard.recordings()]
            texts = np.concatenate([shard.texts for shard in shards]).tolist()
            tokens, of_text = encode(model, recordings, texts, shifts)
            for path, shard in zip(new, shards, strict=True):
                inside = np.flatnonzero(np.isin(of_text, shard.texts))
                own = [tokens[i] for i in inside], [of_text[i] for i in inside]
                write_shard(work / TOKENS / path.name, *own)
        elif ended:
            (work / ALL_TOKENS).touch()
            return
        else:
            time.sleep(WAIT_S)


@torch.no_grad()
def encode(
    model: MelCodecModel, recordings: list[NDArray[np.int16]], texts: list[int], shifts: int
) -> tuple[list[NDArray[np.int16]], list[int]]:
    """Tokens of each recording at each shift, and the number of its text."""
    size = model.config.samples_per_token
    tokens: list[NDArray[np.int16]] = []
    of_text: list[int] = []
    order = sorted(range(len(recordings)), key=lambda i: len(recordings[i]))
    for first in range(0, len(order), BATCH):
        rows = order[first : first + BATCH]
        room = len(recordings[rows[-1]]) // size + 2
        padded = np.zeros((len(rows), -(-room // ROUND) * ROUND * size), np.int16)
        for row, i in enumerate(rows):
            padded[row, : len(recordings[i])] = recordings[i]
        device = next(model.parameters()).device
        samples = torch.from_numpy(padded).to(device).float() / 32_768
        for shift in range(0, size, size // shifts):
            lengths = [-(-(len(recordings[i]) + shift) // size) for i in rows]
            shifted = torch.nn.functional.pad(samples, (shift, 0))[:, : samples.shape[1]]
            with autocast():
                latents = model.latents(shifted, torch.tensor(lengths, device=device))
            found = model.quantizer.tokens(latents).cpu().numpy().astype(np.int16)
            tokens += [found[row, :length] for row, length in enumerate(lengths)]
            of_text += [texts[i] for i in rows]
    return tokens, of_text


if __name__ == "__main__":
    main()
