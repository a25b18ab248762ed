"""CosyVoice2's codec (arXiv 2412.10117): 6 561 codes, 25 tokens/s, 24 kHz, in one given voice.

From the files of iic/CosyVoice2-0.5B as they are published. Upstream draws the vocoder's noise anew
at every call; here it comes from the tokens, so that the same tokens sound the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.base import Precision, check_tokens
from ttsrl.codecs.cosyvoice2_flow import Flow
from ttsrl.codecs.cosyvoice2_network import (
    CODEBOOK_SIZE,
    FRAMES,
    SAMPLE_RATE_HZ,
    flow_of,
    hift_of,
)
from ttsrl.codecs.cosyvoice2_vocoder import MaskedVocoder, Vocoder
from ttsrl.codecs.precision import multiplying
from ttsrl.codecs.s3_tokenizer import FILE
from ttsrl.codecs.voice import CAMPPLUS, SPEAKERS, load_voice, make_voice, voice_digest
from ttsrl.errors import BadInput, reason_of

FLOW, HIFT = "flow.pt", "hift.pt"


class CosyVoice2Codec:
    """See `Codec`. Raises BadInput for a file that is missing or of another model."""

    codebook_size = CODEBOOK_SIZE
    sample_rate_hz = SAMPLE_RATE_HZ
    tokens_per_s = 25.0
    title: ClassVar[str] = "CosyVoice2"
    published: ClassVar[str] = (
        "iic/CosyVoice2-0.5B on ModelScope, FunAudioLLM/CosyVoice2-0.5B on Hugging Face"
    )
    tokenizer: ClassVar[str] = FILE

    def __init__(
        self,
        path: str | Path,
        voice: str | None,
        device: str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        folder = Path(path)
        self._check_files(folder, voice)
        self.device = torch.device(device)
        self.precision: Precision = precision
        network = self._load(self._flow_of, folder / FLOW).to(self.device)
        self.flow = Flow(network, self.device, bfloat16=precision == "bfloat16")
        self.hift = self._load(self._hift_of, folder / HIFT).to(self.device)
        self.hift.stft_window = self.hift.stft_window.to(self.device)  # else copied at every call
        self.vocoder = self._make_vocoder()
        self._folder = folder
        self.voice = load_voice(folder, voice)

    def in_voice(self, waveform: Waveform, sample_rate_hz: int) -> Self:
        """The same networks in the voice of a recording [T]."""
        other = copy(self)
        other.voice = make_voice(self._folder, waveform, sample_rate_hz)
        return other

    @torch.inference_mode()
    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        """Decode utterances of any lengths >= 1; ValueError for tokens outside the codebook.

        Equal ones once.
        """
        rounded = self.flow.passes.multiple
        longest = FRAMES // 2 // rounded * rounded - self.voice.tokens.shape[1]
        for tokens in tokens_B:
            check_tokens(tokens, self.codebook_size)
            if len(tokens) > longest:
                raise ValueError(f"{len(tokens)} speech tokens are more than {longest}: runaway")
        distinct = sorted({tuple(tokens) for tokens in tokens_B})
        with multiplying(self.device, self.precision):
            mels = self.flow.mels(distinct, self.voice)
        with multiplying(self.device, vocoder_precision(self.precision)):
            waveforms = dict(zip(distinct, self.vocoder.waveforms(distinct, mels), strict=True))
        return [waveforms[tuple(tokens)] for tokens in tokens_B]

    _flow_of = staticmethod(flow_of)
    _hift_of = staticmethod(hift_of)

    def _make_vocoder(self) -> Vocoder:
        return MaskedVocoder(self.hift, self.device)

    @classmethod
    def _check_files(cls, folder: Path, voice: str | None) -> None:
        """Raise BadInput naming all files that are missing."""
        from_recording = voice is not None and Path(voice).is_file()
        wanted = [FLOW, HIFT, *((CAMPPLUS, cls.tokenizer) if from_recording else ())]
        if missing := [name for name in wanted if not (folder / name).is_file()]:
            raise BadInput(
                f"the codec at {folder} lacks {', '.join(missing)}; give the folder of a "
                f"{cls.title} checkpoint as it is published ({cls.published}): {FLOW} and {HIFT} "
                f"speak, {CAMPPLUS} and {cls.tokenizer} read the voice of a recording, {SPEAKERS} "
                "holds saved voices"
            )

    @classmethod
    def _load(cls, network_of: Callable[[Mapping[str, Tensor], Path], Any], file: Path) -> Any:
        """A network with its weights, from a state dict as upstream saves it."""
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            # hift.pt is saved out of the pair of generator and discriminators
            state = {key.replace("generator.", ""): tensor for key, tensor in state.items()}
            return network_of(state, file)
        except BadInput:
            raise
        except Exception as error:  # pickle's, zip's and torch's own
            raise BadInput(
                f"{file} does not hold the weights of {cls.title}: {reason_of(error)}; copy it "
                "again from the published checkpoint"
            ) from error


def digest(folder: Path, voice: str | None) -> str:
    """SHA-256 over the files and the voice that decide a waveform: llm.pt does not."""
    total = hashlib.sha256()
    for name in (FLOW, HIFT):
        with (folder / name).open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    total.update(voice_digest(folder, voice or "").encode())
    return total.hexdigest()


def vocoder_precision(of_flow: Precision) -> Precision:
    """Float32 beside bfloat16, in which its Fourier transforms cannot be computed.

    In TF32 the last bits of a row depend on the others of its batch, and with them a waveform.
    """
    return "tfloat32" if of_flow == "tfloat32" else "float32"
