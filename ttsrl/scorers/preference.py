"""Learned preference: what listeners would choose, by a linear head on frozen audio embeddings.

`ttsrl prefer train` makes the head from pairs (Bradley and Terry 1952): the difference of two
scores is the log-odds that the first is preferred. Zero is the average of the clips that it learned
from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttsrl.errors import BadInput
from ttsrl.models.files import folder_digest
from ttsrl.models.hub import local_folder, model_digest
from ttsrl.reward.components import Preference
from ttsrl.scorers.base import SpeechSample

WEIGHTS, FACTS = "head.safetensors", "preference.json"
CHANCE = 0.5


@dataclass(frozen=True)
class Facts:
    """What a head was made of, and what it is worth."""

    encoder: str
    """Folder or Hugging Face id."""
    encoder_digest: str
    pairs: int
    """That were decided; the accuracy is over them."""
    same: int
    texts: int
    accuracy: float
    """Share of the pairs that a head which had not learned from their texts decided as heard."""
    low: float
    """Of the accuracy's 95 % interval ..."""
    high: float
    l2: float
    """Strength of the regularisation, chosen by cross-validation."""
    version: int = 1

    @property
    def better_than_chance(self) -> bool:
        return self.low > CHANCE


@dataclass(frozen=True)
class Head:
    """A linear function of an embedding."""

    weights_D: NDArray[np.float64]
    bias: float
    facts: Facts

    def score(self, embedded_ND: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N] logits."""
        return embedded_ND @ self.weights_D + self.bias

    def save(self, folder: Path) -> None:
        """Write it; the folder must exist."""
        from safetensors.numpy import save_file

        tensors = {"weights": self.weights_D, "bias": np.array([self.bias])}
        save_file(tensors, folder / WEIGHTS)
        (folder / FACTS).write_text(json.dumps(asdict(self.facts), indent=2) + "\n", "utf-8")


def load_head(folder: Path) -> Head:
    """Raises BadInput."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        facts = Facts(**json.loads((folder / FACTS).read_text("utf-8")))
        tensors = load_file(folder / WEIGHTS)
        _check_head(tensors)
        return Head(tensors["weights"], float(tensors["bias"][0]), facts)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise BadInput(
            f"no preference head at {folder} ({type(error).__name__}: {error}); give the folder "
            "that `ttsrl prefer train` wrote"
        ) from None


def _check_head(tensors: Mapping[str, NDArray[np.float64]]) -> None:
    """Raise ValueError unless these are the weights of a head."""
    if set(tensors) != {"weights", "bias"}:
        raise ValueError(
            f"it holds {', '.join(sorted(tensors)) or 'nothing'}, not weights and bias"
        )
    if tensors["weights"].ndim != 1 or tensors["bias"].shape != (1,):
        raise ValueError("its weights are not one row and one bias")
    if not all(np.isfinite(tensor).all() for tensor in tensors.values()):
        raise ValueError("its weights are not finite: the file is damaged")


class PreferenceScorer:
    """`preference`: log-odds that an utterance is preferred to the average of the head's clips."""

    example: Mapping[str, Any] = {}

    def __init__(self, component: Preference, device: str, batch_size: int) -> None:
        from ttsrl.scorers.embedding import Embedder

        folder = local_folder(component.model)
        self._head = load_head(folder)
        facts = self._head.facts
        if not facts.better_than_chance:
            raise BadInput(
                f"the head at {folder} decides {facts.accuracy:.0%} of the pairs that it did not "
                f"learn from as listeners do ({facts.low:.0%} to {facts.high:.0%}), and chance is "
                f"{CHANCE:.0%}: it would reward noise; collect more pairs, or another encoder"
            )
        encoder = component.encoder or facts.encoder
        digest = folder_digest(local_folder(encoder))
        if digest != facts.encoder_digest:
            raise BadInput(
                f"the encoder at {encoder} is not the one that the head at {folder} was trained "
                f"on ({digest[:12]}, not {facts.encoder_digest[:12]}); give that one as encoder"
            )
        self._embedder = Embedder(encoder, device, batch_size)
        self.spec: Mapping[str, Any] = {
            "version": 1,
            "head": model_digest(str(folder / WEIGHTS)),
            "encoder": digest,
        }

    def score(self, speeches: Sequence[SpeechSample]) -> list[dict[str, float]]:
        """Each utterance by its waveform alone."""
        embedded_ND = self._embedder.embed(
            [s.waveform for s in speeches], [s.sample_rate_hz for s in speeches]
        )
        return [{"preference": logit} for logit in self._head.score(embedded_ND).tolist()]
