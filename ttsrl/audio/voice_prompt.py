"""A recording in whose voice a model is to speak: what is asked of it, what is known of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ttsrl.audio.waveform import FRAME_S, SILENCE_DBFS, Waveform, level_dbfs
from ttsrl.errors import BadInput

LOWEST_RATE_HZ = 16_000
"""Codecs and speaker models hear up to 8 kHz; a narrower band is another voice."""
SHORTEST_S, LONGEST_S = 0.5, 30.0
"""Less is no voice yet; CosyVoice's tokeniser hears no more."""


def read_voice(path: Path) -> tuple[Waveform, int]:
    """Mono samples of a recording in its own sample rate, and that rate in hertz.

    Raises BadInput for no audio, more than one channel, a sample rate below 16 kHz, less than 0.5 s
    or more than 30 s, and silence.
    """
    import soundfile

    if not path.is_file():
        raise BadInput(f"no voice prompt at {path}")
    try:
        with soundfile.SoundFile(path) as file:
            channels, rate_hz = file.channels, file.samplerate
            samples = np.asarray(file.read(dtype="float32", always_2d=True)[:, 0], np.float32)
    except soundfile.SoundFileError as error:
        raise BadInput(f"voice prompt {path} is no audio that can be read: {error}") from None
    duration_s = len(samples) / rate_hz
    if channels > 1:
        raise BadInput(
            f"voice prompt {path} has {channels} channels; give one voice in one channel: "
            "ffmpeg -i IN -ac 1 OUT.wav"
        )
    if rate_hz < LOWEST_RATE_HZ:
        raise BadInput(
            f"voice prompt {path} has {rate_hz} samples a second, below {LOWEST_RATE_HZ}: half of "
            "the voice is missing, and no resampling brings it back; give a better recording"
        )
    if not SHORTEST_S <= duration_s <= LONGEST_S:
        raise BadInput(
            f"voice prompt {path} lasts {duration_s:.2f} s; give {SHORTEST_S:g} to "
            f"{LONGEST_S:g} s of speech"
        )
    if not np.isfinite(samples).all():
        raise BadInput(f"voice prompt {path} has samples that are no numbers")
    if (level := level_dbfs(samples, rate_hz)) < SILENCE_DBFS:
        raise BadInput(
            f"voice prompt {path} is silent: loudest {FRAME_S:g} s at {level:.0f} dBFS, below "
            f"{SILENCE_DBFS:g}"
        )
    return np.ascontiguousarray(samples), rate_hz
