"""The rows of Whisper's decoder: memory that utterances enter and leave, and the step they share.

A step writes at least one token of every row, and as many more as its draft was right about. On a
GPU a step is a CUDA graph, which wants memory and shapes that do not move: one graph for each of a
few numbers of rows and text lengths.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch

from ttsrl.scorers.memory import is_out_of_memory
from ttsrl.scorers.whisper import tokens
from ttsrl.scorers.whisper.forcing import Forcing
from ttsrl.scorers.whisper.reading import GrowingTranscript

logger = logging.getLogger(__name__)

DRAFTED = 7
"""Tokens of the draft that a step tries: a GPU reads 8 tokens per row nearly as fast as one."""
SHORT_TEXT = 64
"""Most utterances never have more tokens; a step for them reads less memory."""


class DecoderPool:
    """Rows 0 to `capacity`; those in use come first, without gaps after `compact`."""

    def __init__(self, forcing: Forcing, capacity: int) -> None:
        self.forcing, self.network = forcing, forcing.network
        self.graphed = self.network.device.type == "cuda"
        longest = min(forcing.tokens.max_positions, 8 + tokens.MAX_NEW_TOKENS)
        self.text_positions = longest + DRAFTED
        self.rows: list[GrowingTranscript | None] = []
        self._graphs: dict[tuple[int, int, int], torch.cuda.CUDAGraph] = {}
        self._allocate(capacity)

    @property
    def alive(self) -> int:
        return sum(row is not None for row in self.rows)

    def compact(self) -> None:
        """Move the last rows into the gaps."""
        self._drop_tail()
        for gap, row in enumerate(self.rows):
            if row is not None or gap >= len(self.rows):
                continue
            last = len(self.rows) - 1
            for memory in (self.audio, self.text):
                memory[gap].copy_(memory[last])
            self.rows[gap] = self.rows.pop()
            self._drop_tail()

    def leave(self) -> dict[int, GrowingTranscript]:
        """Rows whose transcript is done, by their places: what they heard stays there until
        `compact`, or until others enter."""
        gone = {k: row for k, row in enumerate(self.rows) if row is not None and row.done}
        self.rows = [None if k in gone else row for k, row in enumerate(self.rows)]
        self._drop_tail()
        return gone

    @property
    def too_wide(self) -> bool:
        """Whether a step would be cheaper after `compact`."""
        return self._width(self.alive) < self._width(len(self.rows))

    def launch(self, guesses: Sequence[Sequence[int]]) -> None:
        """Start a step with one guess per row; `best` waits for it."""
        count = self._width(len(self.rows))
        longest = max(map(len, guesses))
        length = 1 + (DRAFTED if self.graphed and longest else longest)
        # The start of each row, then what is read there; numpy, because the device waits meanwhile.
        asked = np.zeros((count, 1 + length), dtype=np.int64)
        needed = 0
        for k, (row, guess) in enumerate(zip(self.rows, guesses, strict=True)):
            if row is None:
                continue  # computed on zeros, and not looked at
            start = row.start
            asked[k, : 2 + len(guess)] = [start, row.written[-1], *guess]
            needed = max(needed, start + length)
        self._asked[:count, : 1 + length].copy_(torch.from_numpy(asked), non_blocking=True)
        self._step(count, length, self._text_length(needed))

    def best(self, length: int) -> list[list[int]]:
        """Token that won after each token of each row's step, of which the longest has `length`."""
        return self._best[: len(self.rows), :length].tolist()

    def warm_up(self) -> None:
        """Record every graph."""
        if self.graphed:
            lengths, texts = (1, 1 + DRAFTED), (SHORT_TEXT, self.text_positions)
            for shape in product((self._width(1), self.capacity), lengths, texts):
                self._graph(*shape)

    def _step(self, count: int, length: int, text: int) -> None:
        if self.graphed:
            self._graph(count, length, text).replay()
        else:
            self._extend(count, length, text)

    def _extend(self, count: int, length: int, text: int) -> None:
        # Tokens of a guess that turn out wrong leave their keys and values behind the row's end.
        # They are never seen: the next step starts at that end, overwrites as many positions as it
        # reads, and masks those beyond.
        hidden = self.network.extend(
            self._asked[:count, 1 : 1 + length],
            self._asked[:count, 0],
            self.audio[:count],
            self.text[:count, ..., :text, :],
        )
        logits = self.network.logits(hidden)
        logits += self.forcing.penalty_V
        self._best[:count, :length] = logits.argmax(-1)

    def _graph(self, count: int, length: int, text: int) -> torch.cuda.CUDAGraph:
        key = count, length, text
        if key not in self._graphs:
            # What is recorded is not run, and the first run must not be recorded.
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                self._extend(count, length, text)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            # Other threads use the same GPU meanwhile; graphs run one after the other.
            with torch.cuda.graph(
                graph, pool=self._graph_memory, capture_error_mode="thread_local"
            ):
                self._extend(count, length, text)
            self._graphs[key] = graph
        return self._graphs[key]

    def _width(self, count: int) -> int:
        """Rows that a step of `count` computes: every number of them would be another graph."""
        if not self.graphed:
            return count
        few = max(1, self.capacity // 4)
        return few if count <= few else self.capacity

    def _text_length(self, needed: int) -> int:
        if not self.graphed:
            return needed
        return SHORT_TEXT if needed <= SHORT_TEXT else self.text_positions

    def _drop_tail(self) -> None:
        while self.rows and self.rows[-1] is None:
            self.rows.pop()

    def _allocate(self, capacity: int) -> None:
        """As many rows as fit."""
        network = self.network
        try:
            self.audio = network.new_cache(capacity, network.positions)
            self.text = network.new_cache(capacity, self.text_positions)
        except RuntimeError as error:
            if capacity == 1 or not is_out_of_memory(error):
                raise
            self.audio = self.text = torch.empty(0)
            logger.warning("%d rows do not fit into the GPU's memory; trying half", capacity)
            return self._allocate(capacity // 2)
        self.capacity = capacity
        device = network.device
        self._asked = torch.zeros(capacity, 2 + DRAFTED, dtype=torch.long, device=device)
        self._best = torch.zeros(capacity, 1 + DRAFTED, dtype=torch.long, device=device)
        self._graph_memory = torch.cuda.graph_pool_handle() if self.graphed else None
