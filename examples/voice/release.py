"""From the folder of a training: what examples/voice holds, or any other folder.

python -m examples.voice.release WORK [--out FOLDER]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from examples.voice.codec_folder import read_codec, write_codec
from examples.voice.corpus import HERE
from examples.voice.refine_codec import REFINED
from examples.voice.train_policy import FLAWED, POLICY

CODEC_BITS = 8


def main() -> None:
    """Copy both policies; round the codec."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    release(given.work, given.out)


def release(work: Path, out: Path) -> None:
    """Fill `out` with policy, policy_flawed and codec; their model cards stay."""
    write_codec(read_codec(work / REFINED), work / "release" / "codec", bits=CODEC_BITS)
    for name in (POLICY, FLAWED):
        shutil.copytree(work / name, work / "release" / name, dirs_exist_ok=True)
    shutil.copytree(work / "release", out, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
