"""Utterances -> outcomes: gate, decode once, gate again, measure by every scorer, compose.

Whisper listens if a component needs it; each further scorer runs beside it, in a thread of its
own.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import torch

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.base import frame_tokens_of
from ttsrl.codecs.in_voices import ALONE, DecodedAfter, VoiceDecoder, digest_of
from ttsrl.codecs.of_family import check_codec_of_family
from ttsrl.codecs.registry import codec_digest, load_codec, resolve_precision
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.families.frames import example_tokens
from ttsrl.models.hub import local_folder
from ttsrl.reward.components import LEAST_UTILITY, Language, compose, utilities_of
from ttsrl.reward.gates import (
    VoiceFound,
    check_duration,
    check_floors,
    check_level,
    check_repetition,
    check_speech,
    check_tokens,
    check_transcript,
    check_words,
)
from ttsrl.reward.specification import configured, hash_of
from ttsrl.scorers.base import Raw, Scorer, SpeechSample
from ttsrl.scorers.memory import is_out_of_memory
from ttsrl.scorers.reference import check_scorer
from ttsrl.scorers.registry import load_scorers
from ttsrl.scorers.remote import NOTHING_USED, RemoteScorer, Usage
from ttsrl.scorers.whisper.scorer import WhisperScorer
from ttsrl.serving.cache import OutcomeCache
from ttsrl.serving.listening import check_whisper, load_whisper
from ttsrl.serving.recording import RecordedUtterance
from ttsrl.serving.scorer_thread import ScorerThread
from ttsrl.serving.watched import watched_prosody
from ttsrl.text.normalise import NORMALISER_VERSION, check_text, normalise, units
from ttsrl.wire import Failed, Gated, Ok, Outcome, Utterance

logger = logging.getLogger(__name__)

SPEC_VERSION = 8
"""Raise it whenever this file, the gates, the scorers or the codecs give other rewards."""

WHISPER = "whisper"
"""Name of the scorer that most rewards have."""
VOICE = "voice_activity"
"""Name of the gate's scorer."""


@dataclass(frozen=True)
class Item:
    """An utterance on its way, for as long as it has no outcome."""

    utterance: Utterance
    waveform: Waveform | None = None
    voice: dict[str, float] | None = None
    """What the voice-activity detector has measured, where it goes first."""


State = Item | Outcome
Stage = Callable[[list[Item]], list[State]]
T = TypeVar("T")
Measured = Raw | dict[str, float] | Failed
"""What a scorer makes of one utterance."""
Measure = Callable[[list[Item]], Sequence[Measured]]
Timed = tuple[list[Measured | Failed], float]
"""One result an item, and when they were there (by `time.perf_counter`)."""


class Pipeline:
    """Everything that a reward needs, loaded once; may be called from any thread."""

    def __init__(
        self,
        run: RunConfig,
        device: str = "cpu",
        on_stage: Callable[[str, float], None] = lambda name, seconds: None,
    ) -> None:
        """`on_stage` gets the seconds that each batch took in: gates, decode, each scorer."""
        self.reward = run.reward
        self.on_stage = on_stage
        self.lock = threading.Lock()
        # TF32 convolutions would make a score depend on its batch, a hundred times more.
        torch.backends.cudnn.allow_tf32 = False
        codec_folder = local_folder(run.codec)
        check_codec_of_family(run.family, codec_folder)
        precision = resolve_precision(run.reward, device)
        self.codec = load_codec(str(codec_folder), device, precision, run.voice)
        self.frame_tokens = frame_tokens_of(self.codec)
        self.decoder = VoiceDecoder(self.codec)
        self.whisper = load_whisper(run.reward, device)
        self.scorers: dict[str, Scorer | RemoteScorer] = load_scorers(run.reward, device)
        names = [*([WHISPER] if self.whisper else []), *self.scorers]
        # A GPU listens meanwhile; on a CPU what is certainly no speech costs the others nothing.
        self.detects_first = device == "cpu" and VOICE in self.scorers
        self.threads = {name: ScorerThread(name) for name in names}
        self.watched = watched_prosody(run, self.scorers)
        self.specification: dict[str, Any] = {
            "version": SPEC_VERSION,
            "normaliser": NORMALISER_VERSION,
            "codec": codec_digest(run.codec, run.voice),
            "codec_precision": precision,
            **({} if self.whisper is None else self.whisper.spec),
            "scorers": {name: dict(scorer.spec) for name, scorer in self.scorers.items()},
        } | configured(run.reward)
        self.spec_hash = hash_of(self.specification)
        self.cache = OutcomeCache(self.spec_hash, run.reward.cache_size)

    def score(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        """One outcome per utterance, in order; equal utterances are measured once.

        An outcome depends on its utterance alone: it is the same, to 1e-5, in any company. Never
        raises for an utterance: what cannot be measured is Failed.
        """
        keys = [_key(u) for u in utterances]
        known = {key: self.cache.get(key) for key in keys}
        distinct = {key: u for key, u in zip(keys, utterances, strict=True) if known[key] is None}
        # A full order, so that the same utterances form the same batches however they arrive.
        by_length = sorted(
            distinct.values(), key=lambda u: (len(u.speech_tokens), u.speech_tokens, u.text)
        )
        size = self.reward.batch_size
        outcomes = {key: outcome for key, outcome in known.items() if outcome is not None}
        with self.lock:
            for first in range(0, len(by_length), size):
                batch = by_length[first : first + size]
                measured = dict(zip(map(_key, batch), self._measure(batch), strict=True))
                for key, outcome in measured.items():
                    self.cache.put(key, outcome)
                outcomes |= measured
        return [outcomes[key] for key in keys]

    def warm_up(self) -> None:
        """Decode and listen to a full batch, so that the first request finds all allocated."""
        count = self.reward.batch_size
        texts = [f"Warming up, number {n}." for n in range(count)]
        with self.lock:
            waveforms = self.codec.decode([self._example_tokens(n) for n in range(count)])
            if self.whisper is not None:
                self.whisper.warm_up()
                self.whisper.score(waveforms, self.codec.sample_rate_hz, texts, ["en"] * count)

    def self_test(self) -> None:
        """Raise RuntimeError unless the same is measured alone and in a batch."""
        texts = [f"Self-test, number {n}." for n in range(3)]
        with self.lock:
            waveforms = self.codec.decode([self._example_tokens(n) for n in range(3)])
            alone = self.codec.decode([self._example_tokens(0)])[0]
            if self.whisper is not None:
                check_whisper(self.whisper, waveforms, self.codec.sample_rate_hz, texts)
        exact = self.specification["codec_precision"] == "float32"
        near = 1e-4 if exact else 0.01
        if len(alone) != len(waveforms[0]) or not np.allclose(waveforms[0], alone, atol=near):
            raise RuntimeError("the codec decodes the same tokens differently in a batch")
        for name, scorer in self.scorers.items():
            check_scorer(name, scorer)

    def take_usage(self) -> Usage:
        """What requests to other programs have used since this was last asked."""
        remote = [s for s in self.scorers.values() if isinstance(s, RemoteScorer)]
        return sum((scorer.take_usage() for scorer in remote), NOTHING_USED)

    def _measure(self, utterances: list[Utterance]) -> list[Outcome]:
        states: list[State] = [Item(u) for u in utterances]
        states = self._advance("gates", self._gate_tokens, states, "rejected")
        states = self._advance("decode", self._decode, states, "decode")
        states = self._advance("gates", self._gate_waveforms, states, "decode")
        if self.detects_first:
            states = self._detect(states)
        states = self._score(states)
        return [state for state in states if not isinstance(state, Item)]

    def _advance(self, name: str, stage: Stage, states: list[State], kind: str) -> list[State]:
        """Run a stage over the items; an item for which it raises becomes Failed(kind)."""
        start = time.perf_counter()
        items = [state for state in states if isinstance(state, Item)]
        results = iter(_isolate(stage, items, kind))
        self.on_stage(name, time.perf_counter() - start)
        return [next(results) if isinstance(state, Item) else state for state in states]

    def _gate_tokens(self, items: list[Item]) -> list[State]:
        def gate(item: Item) -> State:
            u = item.utterance
            check_text(u.text, u.language)
            if isinstance(u, RecordedUtterance):
                return item
            nominal_s = len(u.speech_tokens) / self.codec.tokens_per_s
            return (
                check_tokens(
                    u.speech_tokens, u.finished, self.codec.codebook_size, self.frame_tokens
                )
                # Runaway speech is not even decoded.
                or self._gate_duration(u, nominal_s)
                or check_repetition(
                    u.speech_tokens,
                    self.codec.tokens_per_s,
                    self.frame_tokens,
                    units(normalise(u.text, u.language), u.language),
                    self.reward.gates,
                )
                or item
            )

        return [gate(item) for item in items]

    def _decode(self, items: list[Item]) -> list[State]:
        utterances = [item.utterance for item in items]
        spoken = [u for u in utterances if not isinstance(u, RecordedUtterance)]
        after = [_after(u) for u in spoken]
        tokens_B = [u.speech_tokens for u in spoken]
        decoded = iter(self.decoder.decode(tokens_B, after) if tokens_B else [])
        rate_hz = self.codec.sample_rate_hz
        waveforms = [
            resample(u.waveform, u.sample_rate_hz, rate_hz)
            if isinstance(u, RecordedUtterance)
            else next(decoded)
            for u in utterances
        ]
        return [
            replace(item, waveform=waveform)
            if np.isfinite(waveform).all()
            else Failed(kind="nan", detail="the codec's waveform is not finite")
            for item, waveform in zip(items, waveforms, strict=True)
        ]

    def _gate_waveforms(self, items: list[Item]) -> list[State]:
        rate_hz = self.codec.sample_rate_hz
        return [
            self._gate_duration(item.utterance, len(item.waveform) / rate_hz)
            or check_level(item.waveform, rate_hz, self.reward.gates)
            or item
            for item in items
            if item.waveform is not None
        ]

    def _gate_duration(self, utterance: Utterance, duration_s: float) -> Gated | None:
        chars = len(normalise(utterance.text, utterance.language))
        return check_duration(duration_s, chars, self._max_duration_s, self.reward.gates)

    def _gate_heard(
        self,
        utterance: Utterance,
        raw: Mapping[str, float],
        transcript: str | None,
        duration_s: float,
    ) -> Gated | None:
        """`transcript` is None where no recogniser listens; without `min_speech_s` no detector
        does."""
        gates, language = self.reward.gates, utterance.language
        text = normalise(utterance.text, language)
        gated = None
        if "speech_s" in raw:
            voice = VoiceFound(raw["speech_s"], raw["faint_speech_s"])
            gated = check_speech(voice, raw.get("no_speech"), len(text), duration_s, gates)
        if gated or transcript is None:
            return gated
        heard = normalise(transcript, language)
        return check_transcript(heard, duration_s) or check_words(
            heard, text, raw["cer"], duration_s, gates
        )

    def _detect(self, states: list[State]) -> list[State]:
        """Gate the items in which there is certainly no speech, whatever Whisper would say."""
        items = [state for state in states if isinstance(state, Item)]
        start = time.perf_counter()
        measure = _measure_by(self.scorers[VOICE], self.codec.sample_rate_hz)
        running = self._start(VOICE, measure, items)
        found = zip(items, self._finish(VOICE, running, items, start), strict=True)
        detected = (self._detected(item, voice) for item, voice in found)
        return [next(detected) if isinstance(state, Item) else state for state in states]

    def _detected(self, item: Item, voice: Measured | Failed) -> State:
        if isinstance(voice, Failed):
            return voice
        assert isinstance(voice, dict)
        if not all(map(math.isfinite, voice.values())):
            return Failed(kind="nan", detail=f"{VOICE} gives {voice}")
        certain = {**voice, "no_speech": 0.0}
        duration_s = (
            0.0 if item.waveform is None else len(item.waveform) / self.codec.sample_rate_hz
        )
        return self._gate_heard(item.utterance, certain, None, duration_s) or replace(
            item, voice=voice
        )

    def _score(self, states: list[State]) -> list[State]:
        """Measure the items by all scorers at once; each has its deadline and fails alone."""
        items = [state for state in states if isinstance(state, Item)]
        start = time.perf_counter()
        rate_hz = self.codec.sample_rate_hz
        measures = {
            name: _measure_by(scorer, rate_hz)
            for name, scorer in self.scorers.items()
            if not (name == VOICE and self.detects_first)
        }
        if self.whisper is not None:
            measures = {WHISPER: _listen_by(self.whisper, rate_hz), **measures}
        running = {name: self._start(name, measure, items) for name, measure in measures.items()}
        watched = [self._watch(item) for item in items]
        raws = {name: self._finish(name, future, items, start) for name, future in running.items()}
        composed = (
            self._with_watched(
                self._compose(item, {name: of_item[n] for name, of_item in raws.items()}),
                watched[n],
            )
            for n, item in enumerate(items)
        )
        return [next(composed) if isinstance(state, Item) else state for state in states]

    def _watch(self, item: Item) -> Future[dict[str, float]] | None:
        if self.watched is None or item.waveform is None:
            return None
        return self.watched.start(item.utterance, _speech(item, self.codec.sample_rate_hz))

    def _with_watched(self, outcome: Outcome, watched: Future[dict[str, float]] | None) -> Outcome:
        if self.watched is None or watched is None or not isinstance(outcome, Ok):
            return outcome
        more = self.watched.finish(watched, self.reward.scorer_deadline_s)
        return outcome.model_copy(update={"raw": {**outcome.raw, **more}})

    def _start(self, name: str, measure: Measure, items: list[Item]) -> Future[Timed]:
        def run() -> Timed:
            return _isolate(measure, items, "scorer", f"{name}: "), time.perf_counter()

        return self.threads[name].start(run)

    def _finish(
        self, name: str, future: Future[Timed], items: list[Item], start: float
    ) -> list[Measured | Failed]:
        """What a scorer made of the items; all of them failed if it is not done by its deadline."""
        deadline_s = self.reward.scorer_deadline_s
        try:
            results, end = future.result(max(0.0, start + deadline_s - time.perf_counter()))
        except TimeoutError:
            future.cancel()
            logger.error("%s took longer than %g s", name, deadline_s)
            failed = Failed(kind="deadline", detail=f"{name} took longer than {deadline_s:g} s")
            return [failed] * len(items)
        self.on_stage(name, end - start)
        return results

    def _compose(self, item: Item, measured: Mapping[str, Measured | Failed]) -> Outcome:
        raw: dict[str, float] = dict(item.voice or {})
        transcript: str | None = None
        language = item.utterance.language
        for name, result in measured.items():
            if isinstance(result, Failed):
                return result
            if isinstance(result, Raw):
                transcript = result.transcript
                values = {**result.values, **self._languages(result, language)}
            else:
                values = result
            if not all(map(math.isfinite, values.values())):
                return Failed(kind="nan", detail=f"{name} gives {values}")
            raw |= values
        samples = 0 if item.waveform is None else len(item.waveform)
        duration_s = samples / self.codec.sample_rate_hz
        components = self.reward.components
        utilities = utilities_of(components, raw, language)
        return (
            self._gate_heard(item.utterance, raw, transcript, duration_s)
            or check_floors(components, raw, utilities, duration_s)
            or Ok(
                reward=compose(
                    utilities,
                    {c.type: c.weight for c in components},
                    self.reward.composition,
                    LEAST_UTILITY[self.reward.whisper.mode] if self.reward.whisper else 0.0,
                ),
                raw=raw,
                utilities=utilities,
                transcript=transcript,
                duration_s=duration_s,
            )
        )

    def _languages(self, heard: Raw, language: str) -> dict[str, float]:
        """Raw values of the component `language`, if the reward has one."""
        components = (c for c in self.reward.components if isinstance(c, Language))
        return next((c.measure(heard.languages, language) for c in components), {})

    @property
    def _max_duration_s(self) -> float:
        """Longest waveform that can be measured; only Whisper has a limit."""
        return math.inf if self.whisper is None else self.whisper.max_duration_s

    def _example_tokens(self, n: int) -> list[int]:
        """About a second of speech tokens, longer with n."""
        count = min(
            self.codec.tokens_per_s * (1 + n % 4 / 2),
            self.codec.tokens_per_s * self._max_duration_s,
        )
        return example_tokens(int(count), self.codec.codebook_size, self.frame_tokens, n)


def _listen_by(whisper: WhisperScorer, sample_rate_hz: int) -> Measure:
    def measure(items: list[Item]) -> list[Raw]:
        return whisper.score(
            [item.waveform for item in items if item.waveform is not None],
            sample_rate_hz,
            [item.utterance.text for item in items],
            [item.utterance.language for item in items],
        )

    return measure


def _measure_by(scorer: Scorer | RemoteScorer, sample_rate_hz: int) -> Measure:
    def measure(items: list[Item]) -> Sequence[dict[str, float] | Failed]:
        speeches = [_speech(item, sample_rate_hz) for item in items if item.waveform is not None]
        return scorer.score(speeches) if speeches else []

    return measure


def _speech(item: Item, sample_rate_hz: int) -> SpeechSample:
    """What a scorer hears of an item that has been decoded."""
    u = item.utterance
    assert item.waveform is not None
    return SpeechSample(
        item.waveform,
        sample_rate_hz,
        u.text,
        u.language,
        u.style,
        u.speaker,
        u.label,
        u.reference.audio if u.reference else None,
    )


def _isolate(
    stage: Callable[[list[Item]], Sequence[T]], items: list[Item], kind: str, label: str = ""
) -> list[T | Failed]:
    """Stage over all items; where it raises, over each half, down to the item that is at fault."""
    try:
        return list(stage(items))
    except Exception as error:
        if len(items) == 1:
            if not isinstance(error, BadInput):
                logger.exception("an utterance cannot be measured: %s", label or kind)
            kind = "rejected" if isinstance(error, BadInput) else kind
            return [Failed(kind=kind, detail=f"{label}{type(error).__name__}: {error}")]
        full = is_out_of_memory(error)
    # Only here is the error gone, and with it what its frames hold of the device's memory.
    if full:
        logger.warning("%d utterances do not fit into the GPU's memory; halved", len(items))
        torch.cuda.empty_cache()
    half = len(items) // 2
    first, second = items[:half], items[half:]
    return _isolate(stage, first, kind, label) + _isolate(stage, second, kind, label)


def _key(utterance: Utterance) -> Hashable:
    u = utterance
    recorded = isinstance(u, RecordedUtterance)
    spoken = (u.samples, u.sample_rate_hz) if recorded else tuple(u.speech_tokens)
    after = _after(u)
    voice = tuple(after.tokens), digest_of(after.audio)
    return spoken, u.text, u.language, u.finished, u.style, u.speaker, u.label, voice


def _after(utterance: Utterance) -> DecodedAfter:
    reference = utterance.reference
    return DecodedAfter(reference.speech_tokens, reference.audio) if reference else ALONE
