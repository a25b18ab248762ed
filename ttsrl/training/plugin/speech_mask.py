"""Ids that a running batch may sample next: a mask over logits, for engines that batch requests.

Requests come and go while others run, so each row of the batch knows how far its own response is.
Shapes: N rows, V ids of the vocabulary, F places of a frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class SpeechMask:
    """Gives every id but the family's speech tokens and end tokens no probability."""

    def __init__(
        self,
        allowed_in_frame: Sequence[Sequence[int]],
        device: torch.device,
        *,
        pin_memory: bool = False,
    ) -> None:
        """`allowed_in_frame`: as `ttsrl.families.base.Family` has it.

        `pin_memory`: where the rows' places are, so that the GPU copies them by itself. Without it
        each step waits until the GPU has computed the step before.
        """
        self.device = device
        self.pin_memory = pin_memory
        self.allowed_F = [torch.tensor(ids, device=device) for ids in allowed_in_frame]
        self.forbidden_FV: Tensor | None = None
        self.response_of: dict[int, Sequence[int]] = {}
        """Row -> the response so far, which the engine goes on writing."""

    def change(
        self,
        removed: Iterable[int],
        added: Iterable[tuple[int, Sequence[int]]],
        moved: Iterable[tuple[int, int, bool]],
    ) -> None:
        """Follow the batch: rows removed, added with their responses, then moved.

        A move is from the first row to the second one, or a swap where the third value is True.
        """
        for row in removed:
            self.response_of.pop(row, None)
        for row, response in added:
            self.response_of[row] = response
        for source, target, swapped in moved:
            there = self.response_of.pop(target, None)
            if (here := self.response_of.pop(source, None)) is not None:
                self.response_of[target] = here
            if swapped and there is not None:
                self.response_of[source] = there

    def apply(self, logits_NV: Tensor) -> Tensor:
        """The logits, changed in place: minus infinity for what may not come next."""
        if self.forbidden_FV is None or self.forbidden_FV.shape[1] != logits_NV.shape[1]:
            self.forbidden_FV = self._forbidden(logits_NV.shape[1])
        places = len(self.allowed_F)
        if places == 1:
            return logits_NV.masked_fill_(self.forbidden_FV[0], -torch.inf)
        rows = range(logits_NV.shape[0])
        place_N = torch.tensor(
            [len(self.response_of.get(row, ())) % places for row in rows],
            pin_memory=self.pin_memory,
        ).to(self.device, non_blocking=True)
        return logits_NV.masked_fill_(self.forbidden_FV[place_N], -torch.inf)

    def _forbidden(self, vocabulary: int) -> Tensor:
        shape = len(self.allowed_F), vocabulary
        forbidden = torch.ones(shape, dtype=torch.bool, device=self.device)
        for place, allowed in enumerate(self.allowed_F):
            forbidden[place, allowed] = False
        return forbidden
