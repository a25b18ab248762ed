"""CosyVoice2's flow matching (arXiv 2412.10117, section 2.4): speech tokens and a voice -> mel.

The network's convolutions are causal, but for one that looks ahead and is shown zeros there, and
its attention is masked: it does not hear what is padded on the right. So utterances of about one
length share a pass, whose shape is the same in whatever company: a fixed number of rows, of a
length that is rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ttsrl.codecs.cosyvoice2_network import start_noise
from ttsrl.codecs.cosyvoice2_velocity import Velocity
from ttsrl.codecs.cosyvoice3_dit import DiT
from ttsrl.codecs.fixed_passes import Passes
from ttsrl.codecs.flow_graph import Graphs, Network
from ttsrl.codecs.voice import CodecVoice

STEPS, GUIDANCE = 10, 0.7
"""Of the Euler solver; weight of classifier-free guidance (cosyvoice2.yaml)."""
ROWS, TOKENS = 8, 64
"""Utterances of a pass on a GPU, and what its length is a multiple of (2.56 s)."""


class Flow:
    """Mels of utterances, in a voice; CosyVoice3's network is another one, and its solver this."""

    def __init__(self, network: Any, device: torch.device, *, bfloat16: bool = False) -> None:
        """`network` is of `flow_of` in cosyvoice2_network or cosyvoice3_network, on that device."""
        self.network = network
        self.encode: Network = getattr(network, "encode", self._encode)
        self.passes = Passes()  # a CPU computes padding as slowly as speech
        if bfloat16 and device.type == "cuda":
            _keep_in_bfloat16(network)
        estimator = network.decoder.estimator
        self.velocity: Network = estimator if isinstance(estimator, DiT) else Velocity(estimator)
        if device.type == "cuda":
            self.passes = Passes(ROWS, TOKENS)
            self.encode, self.velocity = Graphs(self.encode), Graphs(self.velocity)
        self._noise_MT = start_noise()[0].to(device)

    def mels(self, tokens_B: Sequence[Sequence[int]], voice: CodecVoice) -> list[Tensor]:
        """Log-mels [MELS, 2 T] of utterances of T speech tokens each."""
        before = voice.tokens[0].tolist()
        spoken_B = [[*before, *tokens] for tokens in tokens_B]
        mels: dict[int, Tensor] = {}
        for one in self.passes.of([len(spoken) for spoken in spoken_B]):
            solved_BMT = self._pass([spoken_B[n] for n in one.rows], one.length, voice)
            mels |= dict(zip(one.members, solved_BMT, strict=False))
        start = voice.mel.shape[1]
        return [mels[n][:, start : 2 * len(spoken)] for n, spoken in enumerate(spoken_B)]

    def _pass(self, spoken_B: Sequence[Sequence[int]], count: int, voice: CodecVoice) -> Tensor:
        """Mels [B, MELS, 2 `count`] of as many tokens, the voice's first."""
        device = self._noise_MT.device
        padded = [[*spoken, *[0] * (count - len(spoken))] for spoken in spoken_B]
        lengths_B = torch.tensor([len(spoken) for spoken in spoken_B]).to(device)
        mu_BMT = self.encode(x=torch.tensor(padded).to(device), lengths=lengths_B)
        prompt_BMT = torch.zeros_like(mu_BMT)
        prompt_BMT[:, :, : voice.mel.shape[1]] = voice.mel.to(device).mT
        embedding_1C = functional.normalize(voice.embedding.to(device), dim=1)
        speaker_1M = self.network.spk_embed_affine_layer(embedding_1C).float()
        return self._solve(mu_BMT, prompt_BMT, speaker_1M, _heard(2 * lengths_B, 2 * count))

    def _encode(self, x: Tensor, lengths: Tensor) -> Tensor:
        """What the tokens [B, T] tell the solver: mu [B, MELS, 2 T]."""
        network = self.network
        heard_BT1 = _heard(lengths, x.shape[1])[..., None]

        def silence(_: object, inputs: tuple[Tensor]) -> tuple[Tensor]:
            return (inputs[0] * heard_BT1,)

        # The one convolution that is not causal. Alone, it is padded with zeros; in a batch it
        # would read the embedding of the padding.
        with network.encoder.pre_lookahead_layer.register_forward_pre_hook(silence):
            encoded_BTC, _ = network.encoder(network.input_embedding(x), lengths)
        return network.encoder_proj(encoded_BTC).mT.float()

    def _solve(
        self, mu_BMT: Tensor, prompt_BMT: Tensor, speaker_1M: Tensor, heard_BT: Tensor
    ) -> Tensor:
        rows, _, frames = mu_BMT.shape
        # The same start for all, as upstream has it: a waveform depends on its tokens alone.
        x_BMT = self._noise_MT[None, :, :frames].expand(rows, -1, -1)
        speaker_BM = speaker_1M.expand(rows, -1)
        # the second half of the rows is guided by nothing
        conditions: Mapping[str, Tensor] = {
            "mask": heard_BT.float()[:, None].repeat(2, 1, 1),
            "mu": torch.cat([mu_BMT, torch.zeros_like(mu_BMT)]),
            "spks": torch.cat([speaker_BM, torch.zeros_like(speaker_BM)]),
            "cond": torch.cat([prompt_BMT, torch.zeros_like(prompt_BMT)]),
        }
        times = 1 - torch.cos(torch.linspace(0, 1, STEPS + 1, device=x_BMT.device) * 0.5 * math.pi)
        for start, end in pairwise(times):
            moves = self.velocity(x=x_BMT.repeat(2, 1, 1), t=start.expand(2 * rows), **conditions)
            guided, free = moves.float().chunk(2)
            x_BMT = x_BMT + (end - start) * ((1 + GUIDANCE) * guided - GUIDANCE * free)
        return x_BMT


def _heard(lengths_B: Tensor, longest: int) -> Tensor:
    """[B, T], whether a position is of the utterance."""
    return torch.arange(longest, device=lengths_B.device) < lengths_B[:, None]


def _keep_in_bfloat16(network: torch.nn.Module) -> None:
    """The weights that autocast would cast at every call."""
    for module in network.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv1d)):
            module.to(torch.bfloat16)
