"""Utterances a second of the codecs' decoders, all of different lengths.

XCodec2 alone and in masked batches; CosyVoice2 as chatterbox runs its flow, and as CUDA graphs.

python benchmarks/codec_speed.py    in an environment with the extras xcodec2 and cosyvoice
"""

from __future__ import annotations

import argparse
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import random_models
import torch
import transformers
from whisper_speed import machine, timed

from ttsrl.codecs.cosyvoice2 import CosyVoice2Codec
from ttsrl.codecs.flow_graph import Graphs, Network
from ttsrl.codecs.xcodec2 import XCodec2
from ttsrl.runtime.machine import torch_device


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--codec", choices=["xcodec2", "cosyvoice2"], help="only this one")
    arguments = parser.parse_args()
    device = torch_device()
    print(f"{arguments.count} utterances on {machine(device)}")
    measured = {
        "xcodec2": (xcodec2, hasattr(transformers, "Xcodec2Model"), "xcodec2"),
        "cosyvoice2": (cosyvoice2, find_spec("chatterbox") is not None, "cosyvoice"),
    }
    for name, (measure, can, extra) in measured.items():
        if arguments.codec not in (None, name):
            continue
        if can:
            measure(arguments.count, arguments.small, device)
        else:
            print(f"{name}: not measured, this environment lacks the extra {extra}")


def xcodec2(count: int, small: bool, device: str) -> None:
    """Its table."""
    utterances = speech(count, 50, 65_536)
    print("XCodec2, random weights")
    with tempfile.TemporaryDirectory() as folder:
        random_models.make_xcodec2(Path(folder), small=small, device=device)
        newer: Any = transformers  # than the training environment's
        model = newer.Xcodec2Model.from_pretrained(folder).eval().to(device)

        @torch.inference_mode()
        def alone() -> list[np.ndarray]:
            codes = (torch.tensor(u, device=device)[None, None] for u in utterances)
            return [model.decode(audio_codes=c).audio_values[0, 0].cpu().numpy() for c in codes]

        expected = [wave.clip(-1, 1) for wave in alone()]
        base = count / timed(alone, 2)
        print(f"  {'one by one, transformers, float32':44} {base:8.1f} utt/s")
        for precision in ("float32", "tfloat32", "bfloat16")[: 3 if device == "cuda" else 1]:
            codec = XCodec2(folder, device, precision)
            waveforms = codec.decode(utterances)
            rate = count / timed(lambda c=codec: c.decode(utterances), 3)
            errors = [np.abs(a - b).max() for a, b in zip(waveforms, expected, strict=True)]
            loud = max(np.abs(w).max() for w in expected)
            print(
                f"  {f'masked batches, {precision}':44} {rate:8.1f} utt/s {rate / base:6.1f} x, "
                f"samples differ by at most {max(errors):.1e} of {loud:.2f}"
            )


def plain(network: Network) -> Network:
    """What the graphs were captured of."""
    assert isinstance(network, Graphs)
    return network.network


def cosyvoice2(count: int, small: bool, device: str) -> None:
    """Its table: a launch for each kernel of each utterance, and as the codec does on a GPU."""
    utterances = speech(count, 25, 6_561)
    print("CosyVoice2, random weights")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_models.make_cosyvoice2_codec(folder, small=small)
        for precision in ("float32", "tfloat32", "bfloat16")[: 3 if device == "cuda" else 1]:
            codec = CosyVoice2Codec(folder, str(folder / "voice.wav"), device, precision)
            quick = dict(vars(codec.flow))
            if device == "cuda":
                codec.flow.rows = codec.flow.tokens = 1
                codec.flow.encode = plain(codec.flow.encode)
                codec.flow.velocity = plain(codec.flow.velocity)
            codec.decode(utterances[:1])
            start = time.perf_counter()
            expected = codec.decode(utterances)
            base = count / (time.perf_counter() - start)
            print(f"  {f'one by one, {precision}':44} {base:8.1f} utt/s")
            if device == "cpu":
                continue
            vars(codec.flow).update(quick)
            start = time.perf_counter()
            waveforms = codec.decode(utterances)
            first = time.perf_counter() - start
            rate = count / timed(lambda c=codec: c.decode(utterances), 3)
            errors = [np.abs(a - b).max() for a, b in zip(waveforms, expected, strict=True)]
            alone = [codec.decode([tokens])[0] for tokens in utterances]
            same = all(np.array_equal(a, b) for a, b in zip(waveforms, alone, strict=True))
            loud = max(np.abs(w).max() for w in expected)
            print(
                f"  {f'flow as CUDA graphs, {precision}':44} {rate:8.1f} utt/s "
                f"{rate / base:6.1f} x, samples differ by at most {max(errors):.1e} of {loud:.2f}; "
                f"alone {'the same' if same else 'OTHERS'}; first time {first:.1f} s"
            )


def speech(count: int, tokens_per_s: int, codebook_size: int) -> list[list[int]]:
    """Random speech tokens."""
    random = np.random.default_rng(0)
    lengths = [int(tokens_per_s * s) for s in random_models.durations_s(count)]
    return [random.integers(0, codebook_size, n).tolist() for n in lengths]


if __name__ == "__main__":
    main()
