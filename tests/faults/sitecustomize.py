"""Makes the tiny codec fail on purpose, in every Python whose PYTHONPATH has this folder.

An utterance whose first speech token is one of the markers below is broken in that way; all others
are decoded as ever. The batch they are in is the real one, in the real process.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

HANGS, DIES, TOO_LARGE, GIVES_NAN, RAISES, IS_HELD = range(900, 906)
LARGEST_BATCH = 2
"""Of a batch with TOO_LARGE in it, what fits into memory."""
RELEASE = "TTSRL_TEST_RELEASE"
"""Environment variable: IS_HELD waits until the file of this name is there."""


def break_decode(codec: Any) -> None:
    """Wraps the class's `decode`."""
    decode = codec.decode

    def broken(self: Any, tokens_B: Any) -> Any:
        markers = [tokens[0] for tokens in tokens_B]
        if DIES in markers:
            os.kill(os.getpid(), signal.SIGKILL)
        while HANGS in markers:
            time.sleep(60)
        while IS_HELD in markers and not Path(os.environ[RELEASE]).exists():
            time.sleep(0.01)
        if TOO_LARGE in markers and len(markers) > LARGEST_BATCH:
            import torch

            raise torch.OutOfMemoryError(f"a batch of {len(markers)} does not fit")
        if RAISES in markers:
            raise RuntimeError("broken on purpose")
        waveforms = decode(self, tokens_B)
        return [
            w * float("nan") if m == GIVES_NAN else w
            for m, w in zip(markers, waveforms, strict=True)
        ]

    codec.decode = broken


class Breaker:
    """Import hook: breaks the codec as soon as it is loaded, and loads nothing itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "ttsrl.codecs.tiny":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_break(module: Any) -> None:
            execute(module)
            break_decode(module.TinyCodec)

        spec.loader.exec_module = execute_and_break
        return spec


if __name__ == "sitecustomize":  # and not imported by a test, for its markers
    sys.meta_path.insert(0, Breaker())
