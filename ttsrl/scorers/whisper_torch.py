"""Whisper's passes in torch: encoder, teacher forcing, language detection, greedy decoding."""

# torch and transformers declare some types only in part:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, WhisperForConditionalGeneration

from ttsrl.scorers.whisper_tokens import WhisperTokens

LOGITS_AT_ONCE = 2048
"""Positions whose logits are held at once: 0.4 GiB with Whisper's 51 866 tokens in float32."""


class WhisperTorch:
    """Passes over one model. States: [B, S, D], S encoder positions of D channels."""

    def __init__(self, model: WhisperForConditionalGeneration, tokens: WhisperTokens) -> None:
        self.model = model
        self.decoder = model.model.decoder
        self.tokens = tokens
        penalty_V = torch.zeros(model.config.vocab_size, device=model.device)
        penalty_V[tokens.never] = -torch.inf
        self.penalty_V = penalty_V
        self.first_penalty_V = penalty_V.clone()
        self.first_penalty_V[tokens.never_first] = -torch.inf

    def encode(self, mel_BMF: Tensor) -> Tensor:
        """Log-mel, [B, M bands, F frames] -> states."""
        mel_BMF = mel_BMF.to(self.model.device, self.model.dtype)
        return self.model.model.encoder(mel_BMF).last_hidden_state

    def teacher_force(
        self, states_BSD: Tensor, prompts_B: Sequence[list[int]], targets_B: Sequence[list[int]]
    ) -> tuple[list[float], list[bool]]:
        """Mean NLL of each target after its prompt, and whether greedy decoding would write it.

        Prompts are of one length. The NLL is under the full softmax; greedy decoding is under
        Whisper's suppression rules, and writes the target where its every token wins.
        """
        device = states_BSD.device
        inputs = [p + t[:-1] for p, t in zip(prompts_B, targets_B, strict=True)]
        inputs_BT = _pad(inputs, self.tokens.end).to(device)
        targets_BL = _pad(targets_B, -100).to(device)
        first = len(prompts_B[0]) - 1  # where the first target is predicted
        hidden_BLD = self._hidden(inputs_BT, states_BSD, None)[:, first:]
        nlls: list[float] = []
        wins: list[bool] = []
        rows = max(1, LOGITS_AT_ONCE // targets_BL.shape[1])
        for hidden_bLD, targets_bL in zip(
            hidden_BLD.split(rows), targets_BL.split(rows), strict=True
        ):
            logits_bLV = self.model.proj_out(hidden_bLD).float()
            nll_bL = torch.nn.functional.cross_entropy(
                logits_bLV.mT, targets_bL, ignore_index=-100, reduction="none"
            )
            counted_bL = targets_bL >= 0
            nlls += (nll_bL.sum(1) / counted_bL.sum(1)).tolist()
            logits_bLV += self.penalty_V
            logits_bLV[:, 0] += self.first_penalty_V
            wins += ((logits_bLV.argmax(-1) == targets_bL) | ~counted_bL).all(1).tolist()
        return nlls, wins

    def detect_languages(self, states_BSD: Tensor) -> list[int]:
        """Token id of the likeliest language of each utterance."""
        ids = torch.tensor(self.tokens.language_ids, device=states_BSD.device)
        start_B1 = torch.full((len(states_BSD), 1), self.tokens.start, device=states_BSD.device)
        logits_BV = self.model.proj_out(self._hidden(start_B1, states_BSD, None)[:, -1])
        return ids[logits_BV[:, ids].argmax(-1)].tolist()

    def greedy(self, states_BSD: Tensor, prompts_B: Sequence[list[int]]) -> list[list[int]]:
        """Greedy continuation of each prompt, all of one length, without the end token."""
        written: list[list[int]] = [[] for _ in prompts_B]
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        rows = list(range(len(prompts_B)))
        last_BT = torch.tensor(prompts_B, device=states_BSD.device)
        for step in range(self.tokens.max_new(len(prompts_B[0]))):
            hidden_BD = self._hidden(last_BT, states_BSD, cache)[:, -1]
            penalty_V = self.penalty_V if step else self.first_penalty_V
            next_B = (self.model.proj_out(hidden_BD).float() + penalty_V).argmax(-1)
            alive = next_B != self.tokens.end
            if not alive.all():
                kept = alive.nonzero()[:, 0]
                if not len(kept):
                    break
                rows = [rows[k] for k in kept.tolist()]
                next_B, states_BSD = next_B[kept], states_BSD[kept]
                cache.batch_select_indices(kept)
            for row, token in zip(rows, next_B.tolist(), strict=True):
                written[row].append(token)
            last_BT = next_B[:, None]
        return written

    def _hidden(
        self, ids_BT: Tensor, states_BSD: Tensor, cache: EncoderDecoderCache | None
    ) -> Tensor:
        states_BSD = states_BSD.to(self.model.dtype)
        return self.decoder(
            input_ids=ids_BT,
            encoder_hidden_states=states_BSD,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state


def _pad(rows: Sequence[list[int]], value: int) -> Tensor:
    tensors = [torch.tensor(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=value)
