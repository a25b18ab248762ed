"""Utterances a second of XCodec2's decoder, lengths all different: alone, and in masked batches.

python tests/bench/codec_speed.py    in an environment with the extra xcodec2
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import random_models
import torch
import transformers
from whisper_speed import machine, timed

from ttsrl.codecs.xcodec2 import XCodec2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    if not hasattr(transformers, "Xcodec2Model"):
        print("XCodec2: not measured, this environment lacks the extra xcodec2")
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    random = np.random.default_rng(0)
    lengths = [int(50 * s) for s in random_models.durations_s(arguments.count)]
    utterances = [random.integers(0, 65_536, n).tolist() for n in lengths]
    print(f"XCodec2, random weights, {len(lengths)} utterances of {len(set(lengths))} lengths")
    print(f"on {machine(device)}")
    with tempfile.TemporaryDirectory() as folder:
        random_models.make_xcodec2(Path(folder), small=arguments.small, device=device)
        model = transformers.Xcodec2Model.from_pretrained(folder).eval().to(device)

        @torch.inference_mode()
        def alone() -> list[np.ndarray]:
            codes = (torch.tensor(u, device=device)[None, None] for u in utterances)
            return [model.decode(audio_codes=c).audio_values[0, 0].cpu().numpy() for c in codes]

        expected = [wave.clip(-1, 1) for wave in alone()]
        base = len(lengths) / timed(alone, 2)
        print(f"  {'one by one, transformers, float32':44} {base:8.1f} utt/s")
        for precision in ("float32", "tfloat32", "bfloat16")[: 3 if device == "cuda" else 1]:
            codec = XCodec2(folder, device, precision)
            waveforms = codec.decode(utterances)
            rate = len(lengths) / timed(lambda c=codec: c.decode(utterances), 3)
            errors = [np.abs(a - b).max() for a, b in zip(waveforms, expected, strict=True)]
            loud = max(np.abs(w).max() for w in expected)
            print(
                f"  {f'masked batches, {precision}':44} {rate:8.1f} utt/s {rate / base:6.1f} x, "
                f"samples differ by at most {max(errors):.1e} of {loud:.2f}"
            )


if __name__ == "__main__":
    main()
