"""What this project calls of Resemblyzer, which declares no types."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from resemblyzer import hparams as hparams
from torch import nn

class VoiceEncoder(nn.Module):
    def __init__(
        self,
        device: str | None = None,
        verbose: bool = True,
        weights_fpath: str | Path | None = None,
    ) -> None: ...
    def embed_utterance(self, wav: NDArray[np.float32]) -> NDArray[np.float32]: ...

def preprocess_wav(
    fpath_or_wav: str | Path | NDArray[np.float32], source_sr: int | None = None
) -> NDArray[np.float32]: ...
