"""Whisper in torch: many utterances at once, every one read as if it were alone.

Utterances enter the decoder in groups, as rows come free: mel, encoder and projection once, one
pass over the text for its likelihood and the beginning of the transcript. Rows leave as their
transcripts end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ttsrl.scorers.whisper.forcing import Forced, Forcing
from ttsrl.scorers.whisper.log_mel import LogMel
from ttsrl.scorers.whisper.network import Network
from ttsrl.scorers.whisper.pool import DRAFTED, DecoderPool
from ttsrl.scorers.whisper.reading import GrowingTranscript, Reading, ReadingJob

if TYPE_CHECKING:
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    from ttsrl.scorers.whisper.tokens import WhisperTokens

ENCODED_TOGETHER = 16
"""Windows in one encoder pass: a GPU is no faster with more, and more need more memory."""


@dataclass(frozen=True)
class Respelled:
    """A transcript that is done, and whose text is spelled otherwise than was thought."""

    place: int
    """Row of the pool in which it was heard."""
    row: GrowingTranscript
    prompt: list[int]
    target: list[int]


class WhisperTorch:
    """See `ttsrl.scorers.whisper.reading.Engine`; safe to call from any thread, one at a time."""

    def __init__(
        self,
        model: WhisperForConditionalGeneration,
        tokens: WhisperTokens,
        features: WhisperFeatureExtractor,
        rows: int = 32,
    ) -> None:
        """`rows`: utterances in the decoder at once."""
        self.tokens = tokens
        self.network = Network(model)
        self.forcing = Forcing(self.network, tokens)
        self.log_mel = LogMel(features, self.network.device)
        self.drafted = DRAFTED
        """Tokens of the reference that are tried at once; 0 is plain greedy decoding."""
        self._lock = threading.Lock()
        self._rows = rows
        self._pool: DecoderPool | None = None

    @property
    def pool(self) -> DecoderPool:
        """The decoder's memory, taken when it is first needed."""
        if self._pool is None:
            self._pool = DecoderPool(self.forcing, self._rows)
        return self._pool

    @torch.inference_mode()
    def read(self, jobs: Sequence[ReadingJob]) -> Iterator[tuple[int, Reading]]:
        """Readings are handed out while the device works on others."""
        with self._lock:
            pool = self.pool
            waiting = sorted(range(len(jobs)), key=lambda n: _order(jobs[n]))
            pool.rows.clear()
            done: list[GrowingTranscript] = []
            respelled: list[Respelled] = []
            while waiting or pool.alive:
                # Refilled in bulk: the encoder is only efficient with many windows, and rows in the
                # decoder wait meanwhile.
                if waiting and pool.alive <= pool.capacity // 2:
                    done += self._force_again(respelled)
                    pool.compact()
                    free = pool.capacity - pool.alive
                    if free >= ENCODED_TOGETHER:
                        free -= free % ENCODED_TOGETHER  # whole passes
                    entering, waiting = waiting[:free], waiting[free:]
                    rows, forced = self._enter(entering, [jobs[n] for n in entering])
                    # The caller computes error rates here, and the device what was just launched.
                    yield from _readings(done)
                    self._take_forced(rows, forced)
                    pool.rows += rows
                else:
                    guesses = [[] if row is None else row.guess(self.drafted) for row in pool.rows]
                    pool.launch(guesses)
                    yield from _readings(done)
                    best = pool.best(1 + max(map(len, guesses)))
                    for row, guess, tokens in zip(pool.rows, guesses, best, strict=True):
                        if row is not None:
                            row.take(guess, tokens[: 1 + len(guess)], self.tokens.end)
                gone = pool.leave()
                again = [r for k, row in gone.items() if (r := _respelled(k, row, jobs))]
                respelled += again
                done = [row for row in gone.values() if all(row is not r.row for r in again)]
                if pool.too_wide:
                    done += self._force_again(respelled)
                    pool.compact()
            yield from _readings(done + self._force_again(respelled))

    @torch.inference_mode()
    def warm_up(self) -> None:
        """Records the CUDA graphs."""
        with self._lock:
            self.pool.warm_up()

    def _enter(
        self, indices: Sequence[int], jobs: Sequence[ReadingJob]
    ) -> tuple[list[GrowingTranscript], Forced]:
        """Encode into the rows that are free, and read the targets."""
        pool = self.pool
        first = len(pool.rows)
        audio = pool.audio[first : first + len(jobs)]
        text = pool.text[first : first + len(jobs)]
        text.zero_()  # masked positions have weight 0, and 0 x NaN of an earlier utterance is NaN
        for part in _passes(len(jobs)):
            mel_BMF = self.log_mel([job.waveform for job in jobs[part]])
            self.network.project(self.network.encode(mel_BMF), audio[part])
        prompts = self.forcing.prompts([job.prompt for job in jobs], audio)
        targets = [job.target for job in jobs]
        forced = self.forcing.force(prompts, targets, audio, text)
        if any(job.target_prompt is not None for job in jobs):
            others = [job.target_prompt or p for job, p in zip(jobs, prompts, strict=True)]
            # Without `text`: the transcript continues from its own prompt, not from this one.
            apart = self.forcing.force(others, targets, audio)
            forced = replace(forced, nll_B=apart.nll_B)
        limit = self.tokens.max_new
        rows = [
            GrowingTranscript(n, prompt, target if self.drafted else [], limit(len(prompt)))
            for n, prompt, target in zip(indices, prompts, targets, strict=True)
        ]
        return rows, forced

    def _take_forced(self, rows: Sequence[GrowingTranscript], forced: Forced) -> None:
        known = forced.rows(list(self.tokens.languages))
        for row, (nll, best, opening) in zip(rows, known, strict=True):
            row.nll, row.opening = nll, opening
            row.take(row.reference, best[: max(1, len(row.reference))], self.tokens.end)

    def _force_again(self, respelled: list[Respelled]) -> list[GrowingTranscript]:
        """The likelihood of texts in their final spelling, over what their rows heard; empties the
        list. In one pass over all places from the first to the last: to copy what they heard
        together would take more memory than there may be."""
        if not respelled:
            return []
        pool = self.pool
        of = {r.place: r for r in respelled}
        places = range(min(of), max(of) + 1)
        silent = respelled[0].prompt, list[int]()
        asked = [(of[k].prompt, of[k].target) if k in of else silent for k in places]
        audio = pool.audio[places.start : places.stop]
        forced = self.forcing.force([p for p, _ in asked], [t for _, t in asked], audio)
        for place, nll in zip(places, forced.nll_B.tolist(), strict=True):
            if place in of:
                of[place].row.nll = nll
        respelled.clear()
        return [r.row for r in of.values()]


def _order(job: ReadingJob) -> tuple[int, list[int]]:
    """Longest first, so that the last rows to leave are short; the same for the same jobs."""
    return -len(job.target), job.target


def _passes(count: int) -> Iterator[slice]:
    """Which of so many windows are encoded together: powers of 2 of them, since cuDNN plans its
    attention anew for each number."""
    first = 0
    while first < count:
        together = 1 << (min(count - first, ENCODED_TOGETHER).bit_length() - 1)
        yield slice(first, first + together)
        first += together


def _respelled(place: int, row: GrowingTranscript, jobs: Sequence[ReadingJob]) -> Respelled | None:
    """What is left to measure of a row whose transcript is done, if anything."""
    job = jobs[row.index]
    target = job.final_target(row.written)
    if target == job.target:
        return None
    return Respelled(place, row, job.target_prompt or row.prompt, target)


def _readings(rows: Sequence[GrowingTranscript]) -> Iterator[tuple[int, Reading]]:
    return ((row.index, row.reading()) for row in rows)
