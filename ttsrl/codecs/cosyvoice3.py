"""CosyVoice3's codec (arXiv 2505.17589): 6 561 codes, 25 tokens/s, 24 kHz, in one given voice.

As CosyVoice2's, from the files of Fun-CosyVoice3-0.5B as they are published: their names are the
same, and the networks in them others. Upstream's vocoder has the same noise for whatever it says;
here it comes from the tokens, and the program takes no silence out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.cosyvoice2 import CosyVoice2Codec
from ttsrl.codecs.cosyvoice2_network import HARMONICS, HOP
from ttsrl.codecs.cosyvoice2_vocoder import Vocoder, generator_of
from ttsrl.codecs.cosyvoice3_network import flow_of, hift_of, vocode
from ttsrl.codecs.s3_tokenizer import FILE_3


class AloneVocoder:
    """See `Vocoder`; one utterance after the other."""

    def __init__(self, hift: Any, device: torch.device) -> None:
        self.hift, self.device = hift, device

    def waveforms(
        self, tokens_B: Sequence[tuple[int, ...]], mels_B: Sequence[Tensor]
    ) -> list[Waveform]:
        """See `Vocoder`."""
        return [self._alone(*one) for one in zip(tokens_B, mels_B, strict=True)]

    def _alone(self, tokens: tuple[int, ...], mel_MT: Tensor) -> Waveform:
        shape = 1, len(tokens) * 2 * HOP, HARMONICS
        generator = generator_of(tokens, self.device)
        noise_1SH = torch.rand(shape, generator=generator, device=self.device)
        return vocode(self.hift, mel_MT[None], noise_1SH)[0].float().cpu().numpy()


class CosyVoice3Codec(CosyVoice2Codec):
    """See `Codec`. Raises BadInput for a file that is missing or of another model."""

    title = "CosyVoice3"
    published = "FunAudioLLM/Fun-CosyVoice3-0.5B-2512 on Hugging Face and ModelScope"
    tokenizer = FILE_3
    _flow_of = staticmethod(flow_of)
    _hift_of = staticmethod(hift_of)

    def _make_vocoder(self) -> Vocoder:
        return AloneVocoder(self.hift, self.device)
