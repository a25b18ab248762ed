"""Utterances a second of the codecs' decoders, all of different lengths.

XCodec2 alone and in masked batches; CosyVoice2 as chatterbox runs it, and in masked batches.

python benchmarks/codec_speed.py    in an environment with the extras xcodec2 and cosyvoice
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import random_models
import torch
import transformers
from whisper_speed import machine, timed

from ttsrl.codecs.cosyvoice2 import CosyVoice2Codec, vocoder_precision
from ttsrl.codecs.cosyvoice2_vocoder import MaskedVocoder
from ttsrl.codecs.precision import multiplying
from ttsrl.codecs.xcodec2 import XCodec2
from ttsrl.runtime.machine import torch_device

ONE_BY_ONE = 16
"""Utterances at most that are decoded one by one to compare with."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rows", type=int, nargs="+", default=[8], help="of CosyVoice2's passes")
    parser.add_argument("--codec", choices=["xcodec2", "cosyvoice2"], help="only this one")
    arguments = parser.parse_args()
    device = torch_device()
    print(f"{arguments.count} utterances on {machine(device)}")
    measured = {
        "xcodec2": (xcodec2, hasattr(transformers, "Xcodec2Model"), "xcodec2"),
        "cosyvoice2": (
            partial(cosyvoice2, rows_of_pass=arguments.rows),
            find_spec("chatterbox") is not None,
            "cosyvoice",
        ),
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


def cosyvoice2(count: int, small: bool, device: str, rows_of_pass: list[int]) -> None:
    """Its table: chatterbox' modules one by one, and as the codec does it on this device."""
    from support.cosyvoice2_published import as_chatterbox_does

    utterances = speech(count, 25, 6_561)
    some = utterances[:ONE_BY_ONE]
    print("CosyVoice2, random weights")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        random_models.make_cosyvoice2_codec(folder, small=small)
        for precision in ("float32", "tfloat32", "bfloat16")[: 3 if device == "cuda" else 1]:
            old = CosyVoice2Codec(folder, str(folder / "voice.wav"), device, precision)
            as_chatterbox_does(old)
            old.decode(some[:1])
            expected: list[np.ndarray] = []
            base = len(some) / timed(partial(decode_into, expected, old, some), 1)
            print(
                f"  {f'one by one, {precision}':34} {base:8.1f} utt/s, "
                f"{launches(partial(old.decode, some[:2]), 2)}",
                flush=True,
            )
            for rows in rows_of_pass if device == "cuda" else [1]:
                codec = CosyVoice2Codec(folder, str(folder / "voice.wav"), device, precision)
                assert isinstance(codec.vocoder, MaskedVocoder)
                codec.flow.passes.rows = codec.vocoder.passes.rows = rows
                measure_cosyvoice2(f"{rows} rows, {precision}", codec, utterances, expected, base)


def measure_cosyvoice2(
    name: str,
    codec: CosyVoice2Codec,
    utterances: list[list[int]],
    expected: list[np.ndarray],
    base: float,
) -> None:
    """Its row, and how long each half takes."""
    start = time.perf_counter()
    waveforms = codec.decode(utterances)
    first = time.perf_counter() - start
    rate = len(utterances) / timed(lambda: codec.decode(utterances), 3)
    mels = random_mels(codec, utterances)
    with torch.inference_mode(), multiplying(codec.device, codec.precision):
        flow = timed(lambda: settled(codec.flow.mels(utterances, codec.voice)), 1)
    tuples = [tuple(tokens) for tokens in utterances]
    with torch.inference_mode(), multiplying(codec.device, vocoder_precision(codec.precision)):
        vocoder = timed(lambda: codec.vocoder.waveforms(tuples, mels), 1)
    errors = [np.abs(a - b).max() for a, b in zip(waveforms, expected, strict=False)]
    alone = [codec.decode([tokens])[0] for tokens in utterances[:ONE_BY_ONE]]
    apart = max(np.abs(a - b).max() for a, b in zip(waveforms, alone, strict=False))
    loud = max(np.abs(w).max() for w in expected)
    counted = launches(lambda: codec.decode(utterances), len(utterances))
    print(
        f"  {name:34} {rate:8.1f} utt/s {rate / base:6.1f} x, {counted}; flow {flow:.3f} s, "
        f"vocoder {vocoder:.3f} s; samples differ by at most {max(errors):.1e} of {loud:.2f}, "
        f"alone by {apart:.1e}; first time {first:.1f} s",
        flush=True,
    )


def random_mels(codec: CosyVoice2Codec, utterances: list[list[int]]) -> list[torch.Tensor]:
    """As long as the utterances."""
    return [torch.randn(80, 2 * len(tokens), device=codec.device) for tokens in utterances]


def settled(mels: list[torch.Tensor]) -> None:
    """Wait for them."""
    mels[-1].sum().item()


def decode_into(
    waveforms: list[np.ndarray], codec: CosyVoice2Codec, utterances: list[list[int]]
) -> None:
    """Decode, and keep what comes."""
    waveforms.extend(codec.decode(utterances))


def launches(run: Callable[[], object], count: int) -> str:
    """Launches from the CPU and kernels on the GPU for each of `count` utterances.

    On a CPU, operators.
    """
    kinds = torch.profiler.ProfilerActivity
    kind = kinds.CUDA if torch.cuda.is_available() else kinds.CPU
    with torch.profiler.profile(activities=[kind]) as profile:
        run()
        if kind is kinds.CUDA:
            torch.cuda.synchronize()
    found = profile.key_averages()
    if kind is kinds.CPU:
        operators = sum(one.count for one in found if one.key.startswith("aten::"))
        return f"{operators / count:.0f} operators per utterance"
    calls = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch", "cudaMemcpy", "cudaMemset")
    launched = sum(one.count for one in found if one.key.startswith(calls))
    kernels = sum(one.count for one in found if not one.key.startswith(("cuda", "cu", "aten::")))
    return f"{launched / count:.0f} launches, {kernels / count:.0f} kernels per utterance"


def speech(count: int, tokens_per_s: int, codebook_size: int) -> list[list[int]]:
    """Random speech tokens."""
    random = np.random.default_rng(0)
    lengths = [int(tokens_per_s * s) for s in random_models.durations_s(count)]
    return [random.integers(0, codebook_size, n).tolist() for n in lengths]


if __name__ == "__main__":
    main()
