"""The speech so far on the training's device, and random pieces of it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from examples.voice.corpus import RATE_HZ, read_shard
from examples.voice.stage import DEVICE
from examples.voice.synthesise import SPEECH


class SpeechSoFar:
    """Recordings of all shards that are there, behind one another."""

    def __init__(self, work: Path, most_shards: int) -> None:
        self.folder, self.most_shards = work / SPEECH, most_shards
        self.names: set[str] = set()
        self.samples = torch.zeros(0, dtype=torch.int16, device=DEVICE)
        self.starts = torch.zeros(0, dtype=torch.long, device=DEVICE)
        self.lengths = torch.zeros(0, dtype=torch.long, device=DEVICE)
        self.refresh()

    @property
    def hours(self) -> float:
        return len(self.samples) / RATE_HZ / 3600

    def refresh(self) -> None:
        """Take in what has come since."""
        new = [path for path in sorted(self.folder.glob("*.npz")) if path.name not in self.names]
        shards = [read_shard(path) for path in new[: self.most_shards - len(self.names)]]
        if not shards:
            return
        self.names |= {path.name for path in new[: len(shards)]}
        for shard in shards:
            ends = torch.from_numpy(shard.ends).to(DEVICE)
            starts = torch.cat([ends.new_zeros(1), ends[:-1]])
            self.lengths = torch.cat([self.lengths, ends - starts])
            self.starts = torch.cat([self.starts, starts + len(self.samples)])
            self.samples = torch.cat([self.samples, torch.from_numpy(shard.samples).to(DEVICE)])

    def pieces(self, count: int, length: int) -> Tensor:
        """[count, length] samples in [-1, 1], zeros where a recording is shorter."""
        which = torch.randint(len(self.lengths), (count,), device=DEVICE)
        space = (self.lengths[which] - length + 1).clamp_min(1)
        first = (torch.rand(count, device=DEVICE) * space).long()
        place = first[:, None] + torch.arange(length, device=DEVICE)
        inside = place < self.lengths[which][:, None]
        at = (self.starts[which][:, None] + place).clamp_max(len(self.samples) - 1)
        return torch.where(inside, self.samples[at], 0).float() / 32_768
