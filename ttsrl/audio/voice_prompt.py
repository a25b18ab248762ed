"""A recording in whose voice a model is to speak: what is asked of it, what is known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ttsrl.audio.io import read_channels
from ttsrl.audio.waveform import FRAME_S, SILENCE_DBFS, Waveform, level_dbfs
from ttsrl.errors import BadInput
from ttsrl.lines.folders import is_file

LOWEST_RATE_HZ = 16_000
"""Codecs and speaker models hear up to 8 kHz; a narrower band is another voice."""
SHORTEST_S, LONGEST_S = 0.5, 30.0
"""A shorter recording is not enough for a voice; CosyVoice's tokeniser takes at most 30 s."""


def read_voice(path: Path) -> tuple[Waveform, int]:
    """Mono samples of a recording in its own sample rate, and that rate in hertz.

    Raises BadInput for no audio, more than one channel, a sample rate below 16 kHz, less than 0.5 s
    or more than 30 s, and silence.
    """
    if not is_file(path):
        raise BadInput(f"no voice prompt at {path}")
    try:
        samples_TC, rate_hz = read_channels(path, longest_s=LONGEST_S)
    except BadInput as error:
        raise BadInput(f"voice prompt {path}: {error}") from None
    samples, channels = np.ascontiguousarray(samples_TC[:, 0]), samples_TC.shape[1]
    duration_s = len(samples) / rate_hz
    if channels > 1:
        raise BadInput(
            f"voice prompt {path} has {channels} channels; give one voice in one channel: "
            "ffmpeg -i IN -ac 1 OUT.wav"
        )
    if rate_hz < LOWEST_RATE_HZ:
        raise BadInput(
            f"voice prompt {path} has {rate_hz} samples per second, below {LOWEST_RATE_HZ}: half "
            "of the voice is missing, and no resampling brings it back; give a better recording"
        )
    if not SHORTEST_S <= duration_s <= LONGEST_S:
        raise BadInput(
            f"voice prompt {path} lasts {duration_s:.2f} s; give {SHORTEST_S:g} to "
            f"{LONGEST_S:g} s of speech"
        )
    if (level := level_dbfs(samples, rate_hz)) < SILENCE_DBFS:
        raise BadInput(
            f"voice prompt {path} is silent: loudest {FRAME_S:g} s at {level:.0f} dBFS, below "
            f"{SILENCE_DBFS:g}"
        )
    return samples, rate_hz
