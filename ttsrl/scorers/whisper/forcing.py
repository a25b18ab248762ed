"""Whisper's teacher-forced passes: likelihood, what would have won, the language.

Shapes as in `ttsrl.scorers.whisper.network`, V for the vocabulary, L for target positions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ttsrl.scorers.whisper.network import Network
from ttsrl.scorers.whisper.reading import Opening
from ttsrl.scorers.whisper.tokens import WhisperTokens

LOGITS_AT_ONCE = 2048
"""Positions whose logits are held at once: 0.4 GiB with Whisper's 51 866 tokens in float32."""


@dataclass(frozen=True)
class Forced:
    """Still on the device."""

    nll_B: Tensor
    """NLL of each target under the full softmax, summed over its tokens; NaN for an empty one."""
    best_BL: Tensor
    """Token that greedy decoding would write after the prompt and the first tokens of the target;
    one position even for an empty target."""
    no_speech_B: Tensor
    """Probability of the token for no speech, after the start token."""
    language_BN: Tensor
    """Probability of each language among all, after the start token."""

    def rows(self, languages: Sequence[str]) -> Iterator[tuple[float, list[int], Opening]]:
        """NLL, best tokens and opening of each utterance, once the device is done."""
        openings = zip(self.no_speech_B.tolist(), self.language_BN.tolist(), strict=True)
        for nll, best, (no_speech, language_N) in zip(
            self.nll_B.tolist(), self.best_BL.tolist(), openings, strict=True
        ):
            yield nll, best, Opening(no_speech, dict(zip(languages, language_N, strict=True)))


class Forcing:
    """Teacher forcing over audio that was projected before."""

    def __init__(self, network: Network, tokens: WhisperTokens) -> None:
        self.network, self.tokens = network, tokens
        penalty_V = torch.zeros(network.vocabulary, device=network.device)
        penalty_V[tokens.never] = -torch.inf
        self.penalty_V = penalty_V
        """Added to the logits, greedy decoding keeps Whisper's suppression rules."""
        self.first_penalty_V = penalty_V.clone()
        """The same for the first token."""
        self.first_penalty_V[tokens.never_first] = -torch.inf
        self.language_ids_N = torch.tensor(
            list(tokens.languages.values()), device=network.device, dtype=torch.long
        )

    def force(
        self,
        prompts_B: Sequence[list[int]],
        targets_B: Sequence[list[int]],
        audio: Tensor,
        text: Tensor | None = None,
    ) -> Forced:
        """Prompts begin with the start token and are of one length; `text` remembers what was
        read."""
        # The last token is predicted and never read. What pads shorter rows stands behind them,
        # where the causal mask hides it, so it may be any token.
        inputs = [p + t[:-1] for p, t in zip(prompts_B, targets_B, strict=True)]
        inputs_BT = self._pad(inputs, self.tokens.end)
        targets_BL = self._pad([t or [-100] for t in targets_B], -100)
        first = len(prompts_B[0]) - 1  # where the first target is predicted
        hidden_BTD = self.network.prefill(inputs_BT, audio, text)
        hidden_BLD = hidden_BTD[:, first:]
        nlls: list[Tensor] = []
        bests: list[Tensor] = []
        rows = max(1, LOGITS_AT_ONCE // targets_BL.shape[1])
        for hidden_bLD, targets_bL in zip(
            hidden_BLD.split(rows), targets_BL.split(rows), strict=True
        ):
            logits_bLV = self.network.logits(hidden_bLD)
            nll_bL = F.cross_entropy(
                logits_bLV.flatten(0, 1), targets_bL.flatten(), ignore_index=-100, reduction="none"
            ).view_as(targets_bL)
            given_b = (targets_bL >= 0).any(1)
            nlls.append(nll_bL.sum(1).where(given_b, torch.nan))
            # After the NLL: suppression is a rule of decoding, and a text may hold what Whisper
            # would not write. In place, since nothing here is larger than the logits.
            logits_bLV += self.penalty_V
            logits_bLV[:, 0] += self.first_penalty_V
            bests.append(logits_bLV.argmax(-1))
        # As openai-whisper has them: of no speech among all tokens, of a language among languages.
        logits_BV = self.network.logits(hidden_BTD[:, 0])
        no_speech_B = logits_BV.softmax(-1)[:, self.tokens.no_speech]
        language_BN = logits_BV[:, self.language_ids_N].softmax(-1)
        return Forced(torch.cat(nlls), torch.cat(bests), no_speech_B, language_BN)

    def languages(self, audio: Tensor) -> list[int]:
        """Token id of the likeliest language of each utterance."""
        start_B1 = torch.full((len(audio), 1), self.tokens.start, device=self.network.device)
        logits_BV = self.network.logits(self.network.prefill(start_B1, audio)[:, -1])
        ids_N = self.language_ids_N
        return ids_N[logits_BV[:, ids_N].argmax(-1)].tolist()

    def prompts(self, asked_B: Sequence[list[int] | None], audio: Tensor) -> list[list[int]]:
        """What is asked for, or the prompt of the language that is heard."""
        if all(prompt is not None for prompt in asked_B):
            return [prompt or [] for prompt in asked_B]
        heard = map(self.tokens.prompt_of, self.languages(audio))
        return [own or detected for own, detected in zip(asked_B, heard, strict=True)]

    def _pad(self, rows: Sequence[list[int]], value: int) -> Tensor:
        tensors = [torch.tensor(row) for row in rows]
        padded = torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
        return padded.to(self.network.device)
