"""Whisper's real weights on people's speech: speed, what is known without decoding, precision.

python benchmarks/whisper_speed.py --model FOLDER --clips ttsrl/data/clips [--count 16] [--rows 32]

`--clips` names a folder with transcripts.tsv, whose lines after the header are a file's name, a
tab and what is said in it. The clips are repeated up to `--count`. An error rate is made in the
texts: a share of the words of what Whisper hears is replaced, left out or said twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import random_models
import torch

from ttsrl.audio.io import read_mono
from ttsrl.audio.waveform import Waveform
from ttsrl.reward.components import Cer, Nll, compose
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.base import Raw
from ttsrl.scorers.whisper.pool import DRAFTED
from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.scorers.whisper.spelling import bare
from ttsrl.scorers.whisper.torch_engine import WhisperTorch

RATE_HZ = 16_000
SHARES = (0.0, 0.01, 0.03, 0.10)


@dataclass(frozen=True)
class RecordedClips:
    """Clips, what Whisper hears in them, and their language."""

    waveforms: list[Waveform]
    heard: list[str]
    language: str

    def texts(self, share: float) -> list[str]:
        """What is heard, with a share of the words wrong."""
        return [
            " ".join(random_models.with_errors(text.split(), share, n)) or "two"
            for n, text in enumerate(self.heard)
        ]


def measure(model: Path, clips: Path, count: int, rows: int, device: str, language: str) -> None:
    """Print the table."""
    config = WhisperConfig(model=str(model), rows=rows)
    scorer = WhisperScorer(config, device, count)
    waveforms = read_clips(clips, count)
    heard = scorer.transcribe(waveforms, RATE_HZ, [language] * count)
    speech = RecordedClips(waveforms, heard, language)
    seconds = sum(map(len, waveforms)) / RATE_HZ / count
    print(f"{model.name}, {count} clips of {seconds:.1f} s on average, {rows} rows")
    print(f"  {'':34} {'utt/s':>8} {'CER':>7} {'no step':>8}")
    plain = WhisperScorer(config, device, count)
    engine_of(plain).drafted = 0
    line("no draft", plain, speech, speech.heard)
    for share in SHARES:
        line(f"draft, {share:.0%} of words wrong", scorer, speech, speech.texts(share))
    line("draft, lower case", scorer, speech, [bare(text, language) for text in speech.heard])
    precision(config, speech, device)


def read_clips(folder: Path, count: int) -> list[Waveform]:
    """The clips of a folder, again and again."""
    _, *lines = (folder / "transcripts.tsv").read_text(encoding="utf-8").split("\n")
    files = [folder / line.split("\t")[0] for line in lines if line]
    few = [read_mono(file, RATE_HZ) for file in files]
    return [few[n % len(few)] for n in range(count)]


def line(name: str, scorer: WhisperScorer, speech: RecordedClips, texts: Sequence[str]) -> None:
    """One row: utterances per second, CER, share whose transcript was complete after the text was
    read."""
    count = len(texts)
    languages = [speech.language] * count
    scorer.warm_up()
    raws: list[Raw] = []

    def score() -> None:
        raws[:] = scorer.score(speech.waveforms, RATE_HZ, texts, languages)

    seconds = timed(score, 3 if torch.cuda.is_available() else 1)
    drafted = engine_of(scorer).drafted
    known = sum(raw.transcript == text for raw, text in zip(raws, texts, strict=True))
    cer = float(np.mean([min(1.0, raw.cer) for raw in raws]))
    no_step = f"{known / count:8.0%}" if drafted == DRAFTED else " " * 8
    print(f"  {name:34} {count / seconds:8.2f} {cer:7.1%} {no_step}", flush=True)


def precision(config: WhisperConfig, speech: RecordedClips, device: str) -> None:
    """bfloat16 in a batch against float32 alone, at 3 % of the words wrong."""
    texts, languages = speech.texts(0.03), [speech.language] * len(speech.heard)
    exact = WhisperScorer(config.model_copy(update={"dtype": "float32", "rows": 1}), device)
    one = exact.score(speech.waveforms, RATE_HZ, texts, languages)
    low = WhisperScorer(config.model_copy(update={"dtype": "bfloat16"}), device, len(texts))
    many = low.score(speech.waveforms, RATE_HZ, texts, languages)
    differ = sum(a.transcript != b.transcript for a, b in zip(one, many, strict=True))
    moves = [abs(a.nll - b.nll) for a, b in zip(one, many, strict=True)]
    rewards = [abs(reward(a) - reward(b)) for a, b in zip(one, many, strict=True)]
    print(
        f"  bfloat16 in a batch against float32 alone: {differ} of {len(one)} transcripts differ; "
        f"NLL moves by {np.mean(moves):.4f} (at most {max(moves):.4f}), the reward by "
        f"{np.mean(rewards):.4f} (at most {max(rewards):.4f})"
    )


def reward(raw: Raw) -> float:
    """The default reward."""
    utilities = {"cer": Cer().utility(raw.cer), "nll": Nll().utility(raw.nll)}
    return compose(utilities, {"cer": Cer().weight, "nll": Nll().weight})


def engine_of(scorer: WhisperScorer) -> WhisperTorch:
    """Its engine, which is ours."""
    assert isinstance(scorer.engine, WhisperTorch)
    return scorer.engine


def timed(work: Callable[[], object], rounds: int) -> float:
    """Seconds, best of some rounds after one that warms up."""
    times: list[float] = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times[1:])
