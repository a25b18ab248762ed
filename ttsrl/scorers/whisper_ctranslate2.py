"""Whisper's encoder and greedy decoding by CTranslate2; the NLL stays with torch.

CTranslate2's own `align` is no substitute: its softmax leaves out the end token.
"""

# ctranslate2 declares no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
import torch
from torch import Tensor

from ttsrl.hub import folder_digest
from ttsrl.scorers.whisper_tokens import WhisperTokens


class WhisperCTranslate2:
    """The same passes as `WhisperTorch`, in float32 on a CPU and float16 on a GPU."""

    def __init__(self, folder: Path, tokens: WhisperTokens, device: str) -> None:
        self.tokens = tokens
        self.device = device
        kind, _, index = device.partition(":")
        self.whisper = ctranslate2.models.Whisper(
            str(_converted(folder)),
            device=kind,
            device_index=int(index or 0),
            compute_type="float16" if kind == "cuda" else "float32",
            intra_threads=torch.get_num_threads(),
        )

    def encode(self, mel_BMF: Tensor) -> Tensor:
        """Log-mel, [B, M bands, F frames] -> states, [B, S, D]."""
        states = self.whisper.encode(_view(mel_BMF), to_cpu=True)
        return torch.from_numpy(np.array(states, dtype=np.float32)).to(self.device)

    def greedy(self, states_BSD: Tensor, prompts_B: Sequence[list[int]]) -> list[list[int]]:
        """Greedy continuation of each prompt, all of one length, without the end token."""
        results = self.whisper.generate(
            _view(states_BSD),
            list(prompts_B),
            beam_size=1,
            # It writes at most half of max_length.
            max_length=2 * self.tokens.max_new(len(prompts_B[0])),
            suppress_blank=bool(self.tokens.never_first),
            suppress_tokens=self.tokens.never,
        )
        return [result.sequences_ids[0] for result in results]


def _view(tensor: Tensor) -> ctranslate2.StorageView:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(tensor.float().cpu().numpy()))


def _converted(folder: Path) -> Path:
    """The CTranslate2 form of a Hugging Face folder, made once and kept in the user's cache."""
    if (folder / "model.bin").is_file():
        return folder
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ttsrl/ctranslate2"
    converted = cache / folder_digest(folder)
    if not converted.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=cache))
        converter = ctranslate2.converters.TransformersConverter(str(folder))
        converter.convert(str(scratch), force=True)
        try:
            scratch.rename(converted)
        except OSError:  # another process was first
            shutil.rmtree(scratch)
    return converted
