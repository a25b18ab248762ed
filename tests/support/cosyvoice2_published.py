"""CosyVoice2's codec as chatterbox-tts computes it: one utterance after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.cosyvoice2 import CosyVoice2Codec
from ttsrl.codecs.cosyvoice2_network import HARMONICS, HOP, harmonics
from ttsrl.codecs.cosyvoice2_vocoder import generator_of
from ttsrl.codecs.cosyvoice3 import AloneVocoder
from ttsrl.codecs.fixed_passes import Passes
from ttsrl.codecs.flow_graph import Graphs, Network


class ChatterboxVocoder(AloneVocoder):
    """HiFTGenerator.decode, one by one."""

    def _alone(self, tokens: tuple[int, ...], mel_MT: Tensor) -> Waveform:
        shape = 1, len(tokens) * 2 * HOP, HARMONICS
        generator = generator_of(tokens, self.device)
        noise_1SH = torch.randn(shape, generator=generator, device=self.device)
        pitch_1T = self.hift.f0_predictor(mel_MT[None])
        merge = self.hift.m_source
        source_1S1 = merge.l_tanh(merge.l_linear(harmonics(pitch_1T, noise_1SH)))
        samples = self.hift.decode(x=mel_MT[None], s=source_1S1.mT)[0]
        return samples.float().cpu().numpy()


def as_chatterbox_does(codec: CosyVoice2Codec) -> None:
    """Let `codec` run the package's modules, without graphs."""
    codec.flow.passes = Passes()
    codec.flow.encode = plain(codec.flow.encode)
    codec.flow.velocity = codec.flow.network.decoder.estimator
    codec.vocoder = ChatterboxVocoder(codec.hift, codec.device)


def plain(network: Network) -> Network:
    """What graphs are captured of."""
    return network.network if isinstance(network, Graphs) else network
