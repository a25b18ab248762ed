"""The codec: TinyCodec trained to draw the tiny stack's one voice."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from examples.tiny.domain import training_phrase
from examples.tiny.speech import PATCH, join, policy_recordings, silence
from examples.tiny.training import Training
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.tiny import TinyCodecConfig, TinyCodecModel

CLIP_PATCHES = 28


def train(steps: int = 1_200, batch: int = 16) -> TinyCodecModel:
    """Train a codec on joined words, some of them cut."""
    torch.manual_seed(0)
    rng = random.Random(0)
    model = TinyCodecModel(TinyCodecConfig()).train()
    run = Training("codec", list(model.parameters()), steps, rate=2e-3, decay=0.01)
    for _ in run.steps():
        wanted = torch.from_numpy(np.stack([clip(rng) for _ in range(batch)]))
        run.descend(**losses(model(wanted), wanted))
    return model.eval()


def clip(rng: random.Random) -> Waveform:
    """A phrase between silences, in one of five words only a part, cut to CLIP_PATCHES."""
    parts = [silence(rng.randint(0, 2))]
    for word in training_phrase(rng):
        waveform = policy_recordings()[word]
        n_patches = len(waveform) // PATCH
        if rng.random() < 0.2:
            start = rng.randrange(n_patches)
            waveform = waveform[start * PATCH : rng.randint(start + 1, n_patches) * PATCH]
        parts.append(waveform)
    return join([*parts, silence(CLIP_PATCHES)])[: CLIP_PATCHES * PATCH]


def losses(drawn: Tensor, wanted: Tensor) -> dict[str, Tensor]:
    """Distances of [B, S] waveforms: spectra at three resolutions, and the samples themselves."""
    spectral = torch.zeros(())
    for n_fft in (256, 512, 1024):
        a, b = _spectra(drawn, n_fft), _spectra(wanted, n_fft)
        spectral = spectral + (a - b).norm() / b.norm() + (a.log() - b.log()).abs().mean()
    return {"spectra": spectral / 3, "samples": 20 * (drawn - wanted).abs().mean()}


def _spectra(waveforms: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft)
    stft = torch.stft(waveforms, n_fft, n_fft // 4, window=window, return_complex=True)
    return stft.abs().clamp_min(1e-3)


def save(model: TinyCodecModel, folder: Path) -> None:
    """Write the codec as a folder, its weights in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(model.config.model_dump_json(indent=2) + "\n")
    weights = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
