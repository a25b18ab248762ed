"""Utterances a second of Whisper's transcript and NLL, by every way, in one run.

python benchmarks/whisper_speed.py [--shape tiny] [--count 16]
On a GPU: python benchmarks/whisper_speed.py --shape large-v3 --count 128
With real weights, on recordings (recorded_speech.py tells what is measured):
python benchmarks/whisper_speed.py --model FOLDER --clips ttsrl/data/clips

Random weights: the transcripts mean nothing. What a text has in common with its transcript is
imitated: it is the transcript, with some of its words replaced, left out or said twice. Random
weights hardly know which word to prefer, so that bfloat16 often decides, and what follows is
another transcript; weights that are `decided`, as trained ones are, prefer one word clearly.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import random_models
import recorded_speech
import torch

from ttsrl.reward.config import WhisperConfig
from ttsrl.runtime.machine import torch_device
from ttsrl.scorers.base import Raw
from ttsrl.scorers.whisper.pool import DRAFTED
from ttsrl.scorers.whisper.reading import ReadingJob
from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.scorers.whisper.torch_engine import WhisperTorch
from ttsrl.text.reading import read

RATE_HZ = 16_000
CLIPS = Path(__file__).parents[1] / "ttsrl/data/clips"
SHARES = [0.01, 0.03, 0.10, 0.30]
SEEDED = torch.Generator().manual_seed(0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", choices=[*random_models.SHAPES], default="tiny")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--rows", type=int, nargs="*", default=[32])
    parser.add_argument("--short", action="store_true", help="without the first and the last row")
    parser.add_argument("--model", type=Path, help="real weights: a folder of a Whisper")
    parser.add_argument("--clips", type=Path, default=CLIPS, help="with --model: what is heard")
    parser.add_argument("--language", default="en", help="of the clips")
    parser.add_argument(
        "--published-step",
        nargs=2,
        type=float,
        metavar=("COUNT", "SECONDS"),
        help="no table: how long openai-whisper takes for so many utterances, so long each",
    )
    arguments = parser.parse_args()
    device = torch_device()
    if arguments.model:
        return recorded_speech.measure(
            arguments.model,
            arguments.clips,
            arguments.count,
            arguments.rows[0],
            device,
            arguments.language,
        )
    if arguments.published_step:
        return published_step(arguments.shape, device, *arguments.published_step)
    with tempfile.TemporaryDirectory() as folder:
        random_models.make_whisper(Path(folder), arguments.shape, device)
        Bench(Path(folder), arguments.shape, arguments.count, device).run(
            arguments.rows, short=arguments.short
        )


def torch_engine(scorer: WhisperScorer) -> WhisperTorch:
    """Its engine, which is ours."""
    assert isinstance(scorer.engine, WhisperTorch)
    return scorer.engine


def published_step(shape: str, device: str, count: float, duration_s: float) -> None:
    """Measured on some of them."""
    few = [
        np.random.default_rng(0).standard_normal(int(RATE_HZ * duration_s)).astype(np.float32)
    ] * 12
    if (seconds := openai_whisper(shape, device, few)) is None:
        print("  not measured: openai-whisper is not installed")
    else:
        print(f"  {count:.0f} utterances of {duration_s:.0f} s: {count * seconds / len(few):.0f} s")


class Bench:
    """One model, one set of utterances."""

    def __init__(self, folder: Path, shape: str, count: int, device: str) -> None:
        self.folder, self.shape, self.count, self.device = folder, shape, count, device
        self.waveforms = random_models.noise(count)
        self.base = 0.0

    def run(self, rows: list[int], *, short: bool = False) -> None:
        """the published way, then ours."""
        print(f"Whisper {self.shape}, random weights, {self.count} utterances of 2 to 12 s")
        print(f"on {machine(self.device)}")
        print(f"  {'':44} {'utt/s':>8} {'ratio':>7} {'GiB':>6}")
        if not short:
            self.seed()
        self.openai()
        for n in rows:
            self.ours(n)
        if self.device == "cuda" and not short:
            self.precision()

    def scorer(self, **fields: Any) -> WhisperScorer:
        config = WhisperConfig(model=str(self.folder), **fields)
        return WhisperScorer(config, self.device, batch_size=max(self.count, 1))

    def seed(self) -> None:
        """One at a time: encoder passes for NLL, language and transcript, a token a step."""
        scorer = self.scorer(rows=1)
        engine, tokens = torch_engine(scorer), scorer.tokens
        engine.drafted = 0
        engine.warm_up()
        target = tokens.target("two red birds sing again " * 5, "en")
        few = self.waveforms[: max(2, self.count // 8)]

        def encode(waveform: Any) -> torch.Tensor:
            audio = engine.network.new_cache(1, engine.network.positions)
            mel = engine.log_mel([waveform])
            engine.network.project(engine.network.encode(mel), audio)
            return audio

        @torch.inference_mode()
        def one(waveform: Any) -> None:
            engine.forcing.force([[tokens.start]], [target], encode(waveform)).nll_B.item()
            engine.forcing.languages(encode(waveform))
            list(engine.read([ReadingJob(waveform, tokens.prompt("en"))]))

        one(few[0])
        seconds = timed(lambda: [one(w) for w in few], 1)
        self.line("one at a time, three encoder passes, ours", len(few) / seconds)
        self.base = len(few) / seconds

    def openai(self) -> None:
        """The published package where it is installed; then it is the base of the ratios."""
        few = self.waveforms[: max(2, self.count // 8)]
        if (seconds := openai_whisper(self.shape, self.device, few)) is not None:
            self.base = len(few) / seconds
            self.line("the published way: openai-whisper itself", self.base)

    def ours(self, rows: int) -> None:
        """Plain, then with drafts at several error rates."""
        reset_peak(self.device)
        scorer = self.scorer(rows=rows)
        engine, tokens = torch_engine(scorer), scorer.tokens
        engine.warm_up()
        name = f"{rows} rows"
        heard = self.plain(engine, tokens)
        self.measure(scorer, f"{name}, plain greedy", heard, heard)
        self.drafts(scorer, f"{name}, draft", heard, SHARES[1:2])
        decide(engine.network, tokens)
        self.drafts(scorer, f"{name}, decided, draft", self.plain(engine, tokens), SHARES)

    def plain(self, engine: Any, tokens: Any) -> list[str]:
        """Greedy transcripts without a draft."""
        engine.drafted = 0
        jobs = [ReadingJob(waveform, tokens.prompt("en")) for waveform in self.waveforms]
        written = {n: r.written for n, r in engine.read(jobs)}
        return [tokens.decode(written[n]) for n in range(self.count)]

    def drafts(
        self, scorer: WhisperScorer, name: str, heard: list[str], shares: list[float]
    ) -> None:
        """With texts of these shares of wrong words."""
        torch_engine(scorer).drafted = DRAFTED
        for share in shares:
            texts = [
                " ".join(random_models.with_errors(text.split(), share, n)) or "two"
                for n, text in enumerate(heard)
            ]
            self.measure(scorer, name, texts, heard)

    def measure(self, scorer: WhisperScorer, name: str, texts: list[str], heard: list[str]) -> None:
        raws: list[Raw] = []

        def score() -> None:
            read.cache_clear()  # every text is new
            raws[:] = scorer.score(self.waveforms, RATE_HZ, texts, ["en"] * self.count)

        seconds = timed(score, 3 if self.device == "cuda" else 1)
        errors = float(np.mean([min(1.0, raw.cer) for raw in raws]))
        same = sum(raw.transcript == text for raw, text in zip(raws, heard, strict=True))
        name = f"{name}, CER {errors:.0%}" if "draft" in name else name
        other = "" if same == self.count else f"  {self.count - same} transcripts differ from plain"
        self.line(name, self.count / seconds, other)

    def precision(self) -> None:
        """bfloat16 in batches against float32 one by one: random weights are full of near-ties."""
        reset_peak(self.device)
        few = self.waveforms[:32]
        texts = ["two red birds sing again " * 5] * len(few)
        exact = self.scorer(dtype="float32", rows=1)
        torch_engine(exact).drafted = 0
        one = [exact.score([w], RATE_HZ, [t], ["en"])[0] for w, t in zip(few, texts, strict=True)]
        del exact
        many = self.scorer(rows=32).score(few, RATE_HZ, texts, ["en"] * len(few))
        differ = sum(a.transcript != b.transcript for a, b in zip(one, many, strict=True))
        moves = [abs(a.nll - b.nll) for a, b in zip(one, many, strict=True)]
        cers = [abs(a.cer - b.cer) for a, b in zip(one, many, strict=True)]
        print(
            f"  bfloat16 in a batch against float32 alone: {differ} of {len(few)} transcripts "
            f"differ, NLL moves by {np.mean(moves):.4f} (at most {max(moves):.4f}) of "
            f"{np.mean([a.nll for a in one]):.2f}, CER by {np.mean(cers):.3f}"
        )

    def line(self, name: str, per_second: float, note: str = "") -> None:
        ratio = f"{per_second / self.base:7.1f}" if self.base else " " * 7
        print(f"  {name:44} {per_second:8.2f} {ratio} {peak_gib(self.device)}{note}", flush=True)


def decide(network: Any, tokens: Any) -> None:
    """Give every place of a transcript one word that it clearly prefers, whatever is heard."""
    for own, cross, feed in network.decoder:
        for projection in (own.out, cross.out, feed.narrow):
            projection.weight.mul_(0.01)
    words = torch.tensor(sorted({*range(network.vocabulary)} - {*tokens.never, tokens.end}))
    chosen = words[torch.randint(len(words), (random_models.WORDS - 1,), generator=SEEDED)]
    first = len(tokens.prompt("en")) - 1
    places = network.decoder_positions[first : first + len(chosen)]
    places += 3.0 * network.tokens[chosen.to(network.device)]


def openai_whisper(shape: str, device: str, waveforms: list[Any]) -> float | None:
    """Seconds of the package that the published recipes call; None where it is not installed."""
    try:
        import whisper
        from whisper.decoding import DecodingOptions
    except ImportError:
        return None
    s = random_models.SHAPES[shape]
    size, layers, heads = s["d_model"], s["layers"], s["heads"]
    dimensions = whisper.model.ModelDimensions(
        s["mels"], 1500, size, heads, layers, s["vocabulary"], 448, size, heads, layers
    )
    with torch.device(device):
        model = whisper.model.Whisper(dimensions)
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data.normal_(0.0, 0.02)
    half = device == "cuda"
    options = DecodingOptions(
        language="en", sample_len=random_models.WORDS, suppress_tokens=[50_257], fp16=half
    )
    target = torch.randint(1000, 40_000, (1, random_models.WORDS + 1), device=device)

    @torch.inference_mode()
    def one(waveform: Any) -> None:
        window: Any = whisper.pad_or_trim(waveform)
        mel: Any = whisper.log_mel_spectrogram(window, s["mels"]).to(device)
        mel = mel.half() if half else mel
        logits = model.logits(target[:, :-1], model.encoder(mel[None])).float()
        torch.nn.functional.cross_entropy(logits[0], target[0, 1:]).item()
        padded = whisper.log_mel_spectrogram(waveform, s["mels"], padding=480_000)
        segment: Any = whisper.pad_or_trim(padded, 3000)
        segment = segment.to(device)
        segment = segment.half() if half else segment
        model.detect_language(segment)
        whisper.decode(model, segment, options)

    one(waveforms[0])
    return timed(lambda: [one(w) for w in waveforms], 1)


def timed(work: Callable[[], object], rounds: int) -> float:
    """Seconds, best of some rounds after one that warms up."""
    if rounds > 1:
        work()
    times: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)


def machine(device: str) -> str:
    """What it runs on."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{torch.get_num_threads()} threads of a CPU, torch {torch.__version__}"


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: str) -> str:
    return f"{torch.cuda.max_memory_allocated() / 2**30:6.1f}" if device == "cuda" else " " * 6


if __name__ == "__main__":
    main()
