"""DNSMOS P.835: what listeners would say of speech, background and the whole, 1 to 5.

Microsoft's network and weights as the package speechmos carries them (MIT). Its way of listening:
windows of 9.01 s in steps of 1 s, a shorter clip doubled until it fills one; each window's raw
values go through the challenge's polynomials (microsoft/DNS-Challenge, DNSMOS/dnsmos_local.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.models.packaged import packaged_model
from ttsrl.scorers.base import SpeechSample

RATE_HZ = 16_000
WINDOW = 144_160
"""Samples that the network hears at once."""
POLYNOMIALS = {
    "dnsmos_sig": [-0.08397278, 1.22083953, 0.0052439],
    "dnsmos_bak": [-0.13166888, 1.60915514, -0.39604546],
    "dnsmos": [-0.06766283, 1.11546468, 0.04602535],
}
"""Raw value -> mean opinion score, in the order of the network's outputs; highest power first."""


class DnsmosScorer:
    """`dnsmos` (the whole), `dnsmos_sig` (the speech) and `dnsmos_bak` (the background)."""

    example: Mapping[str, Any] = {}

    def __init__(self, device: str, batch_size: int) -> None:
        import onnxruntime
        import torch

        path = packaged_model("speechmos")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        providers = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            # onnxruntime's own GPU wheel is not ours to demand: it is used where it is installed.
            providers = [
                p
                for p in ("CUDAExecutionProvider", *providers)
                if p in onnxruntime.get_available_providers()
            ]
        self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        self._batch_size = batch_size
        self.spec: Mapping[str, Any] = {
            "version": 1,
            "model": hashlib.sha256(path.read_bytes()).hexdigest(),
        }

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Mean of each score over an utterance's windows; windows share batches, nothing else."""
        windows: list[NDArray[np.float32]] = []
        owners: list[int] = []
        for n, speech in enumerate(speeches):
            for window in windows_of(resample(speech.waveform, speech.sample_rate_hz, RATE_HZ)):
                windows.append(window)
                owners.append(n)
        batches = range(0, len(windows), self._batch_size)
        raw_W3 = np.concatenate([self._hear(windows[b : b + self._batch_size]) for b in batches])
        scores_W3 = {
            name: np.polyval(polynomial, raw_W3[:, k])
            for k, (name, polynomial) in enumerate(POLYNOMIALS.items())
        }
        owner_W = np.array(owners)
        return [
            {name: float(score_W[owner_W == n].mean()) for name, score_W in scores_W3.items()}
            for n in range(len(speeches))
        ]

    def _hear(self, windows: list[NDArray[np.float32]]) -> NDArray[np.float64]:
        (raw_B3,) = self._session.run(None, {"input_1": np.stack(windows)})
        return np.asarray(raw_B3, dtype=np.float64)


def windows_of(waveform: Waveform) -> list[NDArray[np.float32]]:
    """Windows of `WINDOW` samples, one per second; a shorter waveform is doubled until it fills
    one.

    Exactly Microsoft's windows, so that values compare with published ones.
    """
    while len(waveform) < WINDOW:
        waveform = np.tile(waveform, 2)
    starts = range(0, len(waveform) // RATE_HZ * RATE_HZ - WINDOW + 1, RATE_HZ)
    return [np.clip(waveform[s : s + WINDOW], -1, 1).astype(np.float32) for s in starts or [0]]
