"""Texts and their speech tokens as sequences of the policy, in batches of like lengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from examples.voice.corpus import read_shard, training_texts
from examples.voice.encode import TOKENS
from examples.voice.stage import DEVICE
from ttsrl.families.llasa import TEXT_END, TEXT_START, Llasa

IGNORED = -100
ROUND = 16
"""Positions, and an eighth of it in rows: a GPU meets few different shapes."""


class Prompts:
    """Prompts as the family makes them, thousands at once."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, codebook_size: int) -> None:
        self.tokenizer = tokenizer
        family = Llasa(tokenizer, codebook_size)
        known = family.prompt_ids("a")
        ids = tokenizer.get_vocab()
        start, end = known.index(ids[TEXT_START]) + 1, known.index(ids[TEXT_END])
        self.before, self.after = known[:start], known[end:]
        self.first_speech = family.speech_token_ids.start
        self.end = family.stop_token_ids[0]
        sample = "It's a test, is it not?"
        if self.of([sample]) != [family.prompt_ids(sample)]:
            raise AssertionError("prompts of the training differ from the family's")

    def of(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text's prompt."""
        if not texts:
            return []
        encoded = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [[*self.before, *ids, *self.after] for ids in encoded]


@dataclass
class SpokenCorpus:
    """What of WORK/tokens has been read."""

    work: Path
    read: set[str]
    texts: list[str]
    tokens: list[NDArray[np.int16]]

    @classmethod
    def of(cls, work: Path) -> SpokenCorpus:
        """Whatever is there."""
        corpus = cls(work, set(), [], [])
        corpus.refresh()
        return corpus

    def refresh(self) -> None:
        """Take in what has come since."""
        texts = training_texts()
        for path in sorted((self.work / TOKENS).glob("*.npz")):
            if path.name not in self.read:
                shard = read_shard(path)
                self.read.add(path.name)
                self.texts += [texts[i] for i in shard.texts]
                self.tokens += shard.recordings()


class Batches:
    """Random batches of about `budget` positions each, padding included."""

    def __init__(self, prompts: Prompts, budget: int, seed: int = 0) -> None:
        self.prompts, self.budget = prompts, budget
        self.rng = np.random.default_rng(seed)
        self.lengths = np.zeros(0, np.int64)
        self.ids = torch.zeros(0, dtype=torch.int16, device=DEVICE)
        self.starts = torch.zeros(0, dtype=torch.long, device=DEVICE)
        self.prompt_lengths = torch.zeros(0, dtype=torch.long, device=DEVICE)

    @property
    def positions(self) -> int:
        return len(self.ids)

    def add(self, texts: list[str], tokens: list[NDArray[np.int16]]) -> None:
        """Take in more of the corpus."""
        if not texts:
            return
        heads = self.prompts.of(texts)
        end = np.array([self.prompts.end], np.int16)
        pieces = [
            piece
            for head, speech in zip(heads, tokens, strict=True)
            for piece in (np.array(head, np.int16), speech + self.prompts.first_speech, end)
        ]
        flat = torch.from_numpy(np.concatenate(pieces).astype(np.int16)).to(DEVICE)
        new = np.array([len(h) + len(t) + 1 for h, t in zip(heads, tokens, strict=True)])
        starts = torch.from_numpy(np.cumsum(new) - new).to(DEVICE) + len(self.ids)
        self.lengths = np.concatenate([self.lengths, new])
        self.starts = torch.cat([self.starts, starts])
        self.ids = torch.cat([self.ids, flat])
        sizes = torch.tensor([len(head) for head in heads], device=DEVICE)
        self.prompt_lengths = torch.cat([self.prompt_lengths, sizes])

    def epoch(self, longest: float = np.inf) -> Iterator[tuple[Tensor, Tensor]]:
        """Every sequence once, batches in random order; see `batch`."""
        rows = np.flatnonzero(self.lengths <= longest)
        order = rows[np.argsort(self.lengths[rows] + self.rng.uniform(-8, 8, len(rows)))]
        chunks: list[NDArray[np.int64]] = []
        first = 0
        while first < len(order):
            far = int(self.lengths[order[min(first + 400, len(order) - 1)]])
            size = max(8, self.budget // far // 8 * 8)
            chunks.append(order[first : first + size])
            first += size
        for n in self.rng.permutation(len(chunks)):
            yield self.batch(chunks[n])

    def batch(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Ids [B, T], and targets [B, T], IGNORED in the prompt and beyond the end."""
        width = -(-int(self.lengths[rows].max()) // ROUND) * ROUND
        at = torch.from_numpy(np.ascontiguousarray(rows)).to(DEVICE)
        lengths = torch.from_numpy(self.lengths[rows]).to(DEVICE)[:, None]
        places = torch.arange(width, device=DEVICE)[None]
        inside = places < lengths
        found = self.ids[(self.starts[at][:, None] + places).clamp_max(len(self.ids) - 1)]
        ids = torch.where(inside, found.long(), self.prompts.end)
        answered = inside & (places >= self.prompt_lengths[at][:, None])
        return ids, torch.where(answered, ids, IGNORED)
