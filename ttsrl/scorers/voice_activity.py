"""Voice activity: in how much of a waveform somebody speaks, by Silero VAD.

The network and its weights (v6, MIT) are those that faster-whisper carries. Silero takes the onset
of any sound for a voice until it has heard a second of it, so the waveform's beginning is played
before the waveform itself and not counted: hum, tones and chords then have no frame of speech, and
words lose none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import vowels

if TYPE_CHECKING:
    from faster_whisper.vad import SileroVADModel

RATE_HZ = 16_000
FRAME = 512
"""Samples for which the network gives one probability."""
LEAD_IN_S = 2.0
"""How much of the beginning is played before."""
CLIP_S = 1.5
"""Of vowels, in which it has to find speech before it may find none."""
PEAK = 0.5
"""Every waveform is brought to this peak: soft speech is speech."""


class VoiceActivity:
    """`speech_s` and `faint_speech_s`: seconds of the frames whose probability of speech is at
    least `threshold`, and at least `faint`."""

    example: Mapping[str, Any] = {}

    def __init__(self, threshold: float, faint: float, threads: int) -> None:
        self._thresholds = {"speech_s": threshold, "faint_speech_s": faint}
        self._network, digest = _load()
        self.spec: Mapping[str, Any] = {"version": 1, "model": digest}
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="voice-activity")
        clip = SpeechSample(vowels(CLIP_S), RATE_HZ, "a e i o u", "en")
        if not (found_s := self._measure(clip)["speech_s"]) >= CLIP_S / 2:
            raise RuntimeError(
                f"the voice-activity detector finds {found_s:.2f} s of speech in {CLIP_S:g} s of "
                "vowels: it would gate every rollout; install faster-whisper anew"
            )

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Each utterance for itself; NaN where the network gives no numbers."""
        return list(self._threads.map(self._measure, speeches))

    def _measure(self, speech: SpeechSample) -> dict[str, float]:
        waveform = resample(speech.waveform, speech.sample_rate_hz, RATE_HZ)
        probability_F = self.probabilities(waveform)
        if not np.isfinite(probability_F).all():
            return dict.fromkeys(self._thresholds, float("nan"))
        return {
            name: float((probability_F >= threshold).sum()) * FRAME / RATE_HZ
            for name, threshold in self._thresholds.items()
        }

    def probabilities(self, waveform: Waveform) -> NDArray[np.float32]:
        """[T] at `RATE_HZ` -> probability of speech in each frame, [ceil(T / FRAME)]."""
        loud = waveform * np.float32(PEAK / max(1e-9, float(np.abs(waveform).max(initial=0))))
        heard = np.pad(loud, (0, -len(loud) % FRAME))
        lead_in = heard[: round(LEAD_IN_S * RATE_HZ) // FRAME * FRAME]
        return self._network(np.concatenate([lead_in, heard]))[len(lead_in) // FRAME :].reshape(-1)


def _load() -> tuple[SileroVADModel, str]:
    """The network, and the SHA-256 of its file."""
    try:
        from faster_whisper.utils import get_assets_path
        from faster_whisper.vad import SileroVADModel
    except ImportError:
        raise BadInput(
            "the gate no_speech needs the package faster-whisper; install the extra 'reward', or "
            "set reward.gates.min_speech_s to 0"
        ) from None
    path = Path(get_assets_path()) / "silero_vad_v6.onnx"
    return SileroVADModel(str(path)), hashlib.sha256(path.read_bytes()).hexdigest()
