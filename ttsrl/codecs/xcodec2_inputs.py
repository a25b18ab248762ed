"""What XCodec2's encoder takes: samples [B, 1, S] and spectra [B, T, M] of recordings.

The spectra of the authors' code are numpy's in float64; those of transformers' own class are
torchaudio's in float32. Where a band is empty, as between the harmonics of a synthetic voice
without noise, its logarithm is of the rounding alone, and codes differ. So each form of the weights
has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import transformers
from torch import Tensor

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.xcodec2_published import is_published_form
from ttsrl.errors import BadInput, reason_of
from ttsrl.models.hub import names_of_weights

PREPROCESSOR = "preprocessor_config.json"
SAMPLE_RATE_HZ, HOP = 16_000, 320

Xcodec2Inputs = Callable[[Sequence[Waveform]], tuple[Tensor, Tensor]]
"""Recordings of S samples -> samples [B, 1, S'] and spectra [B, T, M], T = longest S // 320 + 1 and
S' = 320 T; what pads the shorter recordings is arbitrary."""


def inputs_of(folder: Path) -> Xcodec2Inputs:
    """The one that belongs to a folder's form. Raises BadInput.

    The authors' repository has no file of it, and their code reads none of that folder.
    """
    if is_published_form(names_of_weights(folder)):
        return _published_inputs()
    try:
        extractor: Any = transformers.AutoFeatureExtractor.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise BadInput(
            f"the codec at {folder} has no feature extractor, which encoding needs: "
            f"{reason_of(error)}; add its {PREPROCESSOR}"
        ) from None
    if not isinstance(extractor, cast(Any, transformers).Xcodec2FeatureExtractor):
        raise BadInput(
            f"{PREPROCESSOR} of the codec at {folder} describes a {type(extractor).__name__}, "
            "not the Xcodec2FeatureExtractor that encoding needs; copy the codec's own"
        )

    def inputs(waveforms_B: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        made = extractor(list(waveforms_B), sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        return made["input_values"], made["input_features"]

    return inputs


def _published_inputs() -> Xcodec2Inputs:
    """`encode_code` of the authors' class, for a batch; the numbers are w2v-bert-2.0's."""
    extractor = transformers.SeamlessM4TFeatureExtractor(
        feature_size=80, num_mel_bins=80, sampling_rate=SAMPLE_RATE_HZ, stride=2, padding_value=1
    )

    def inputs(waveforms_B: Sequence[Waveform]) -> tuple[Tensor, Tensor]:
        whole = [np.pad(wave, (0, HOP - len(wave) % HOP)) for wave in waveforms_B]
        made: Any = extractor(
            [np.pad(wave, HOP // 2) for wave in whole],
            sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt",
        )  # fmt: skip
        samples = torch.nn.utils.rnn.pad_sequence(
            [torch.from_numpy(wave) for wave in whole], batch_first=True
        )
        return samples[:, None], made["input_features"]

    return inputs
