"""What can be compared: speech of one text, from a run's folder or from a list of recordings."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from ttsrl.audio.io import read_recording
from ttsrl.audio.waveform import Waveform
from ttsrl.data.recordings import read_recordings
from ttsrl.errors import BadInput
from ttsrl.records.evaluation import ROWS, EvaluationRow
from ttsrl.records.record import read_lines
from ttsrl.records.rollout import RolloutSample

SUITES = ("before", "after")


@dataclass(frozen=True)
class Clip:
    """One utterance."""

    id: str
    """Of its samples: the page must not tell where a clip comes from."""
    text: str
    waveform: Waveform
    sample_rate_hz: int


@dataclass(frozen=True)
class Pair:
    """Two clips of one text, in the order in which they are shown."""

    a: Clip
    b: Clip

    @property
    def id(self) -> str:
        return f"{self.a.id}-{self.b.id}"


def clips_of(source: Path) -> list[Clip]:
    """Every clip of a run's folder (its samples of rollouts, its evaluations), or of a JSONL file
    with `text` and `wav` a line; one that is there twice counts once. Raises BadInput."""
    if source.is_dir():
        found = [*_evaluated(source), *_rollouts(source)]
        if not found:
            raise BadInput(
                f"no speech in {source}: neither eval/before, eval/after nor train/rollouts.jsonl "
                "has any; train or evaluate first, or give a JSONL file with text and wav"
            )
    elif source.is_file():
        found = list(_listed(source))
    else:
        raise BadInput(f"no such folder or file: {source}; give a run's folder, or a JSONL file")
    return list({(clip.id, clip.text): clip for clip in found}.values())


def pairs_of(clips: list[Clip], count: int, seed: int) -> list[Pair]:
    """At most `count` pairs in random order, every text once before any text twice; which clip
    comes first is drawn. Raises BadInput where no text has two clips."""
    random = np.random.default_rng(seed)
    of_text: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_text[clip.text].append(clip)
    rounds: dict[int, list[tuple[Clip, Clip]]] = defaultdict(list)
    for of_one in of_text.values():
        possible = list(combinations(of_one, 2))
        for n, k in enumerate(random.permutation(len(possible)).tolist()):
            rounds[n].append(possible[int(k)])
    if not rounds:
        raise BadInput(
            f"{len(clips)} clips, and no text has two: there is nothing to compare; evaluate with "
            "more seeds, or before and after training"
        )
    chosen: list[tuple[Clip, Clip]] = []
    for n in sorted(rounds):
        chosen += [rounds[n][k] for k in random.permutation(len(rounds[n]))]
    chosen = [chosen[k] for k in random.permutation(min(count, len(chosen)))]
    return [Pair(b, a) if random.random() < 0.5 else Pair(a, b) for a, b in chosen]


def clip_of(text: str, waveform: Waveform, sample_rate_hz: int) -> Clip:
    """A clip, named by its samples as 16-bit PCM."""
    pcm = (np.clip(waveform, -1, 1) * 32767).round().astype("<i2").tobytes()
    digest = hashlib.sha256(f"{sample_rate_hz} ".encode() + pcm).hexdigest()[:16]
    return Clip(digest, text, waveform, sample_rate_hz)


def _recorded(text: str, file: Path) -> Clip:
    try:
        return clip_of(text, *read_recording(file))
    except BadInput as error:
        raise BadInput(f"{file}: {error}; leave it out") from None


def _evaluated(folder: Path) -> Iterator[Clip]:
    for suite in SUITES:
        evaluation = folder / "eval" / suite
        for row in read_lines(EvaluationRow, evaluation / ROWS):
            if row.wav and row.duration_s:
                yield _recorded(row.text, evaluation / row.wav)


def _rollouts(folder: Path) -> Iterator[Clip]:
    samples = read_lines(RolloutSample, folder / "train" / "rollouts.jsonl")
    kept = [sample for sample in samples if sample.kind != "gated"]
    if not kept:
        return
    from ttsrl.codecs.registry import load_codec
    from ttsrl.config.load import load_run
    from ttsrl.models.hub import local_folder

    codec = load_codec(str(local_folder(load_run(folder / "run.json").codec)))
    for sample in kept:
        (waveform,) = codec.decode([sample.speech_tokens])
        yield clip_of(sample.text, waveform, codec.sample_rate_hz)


def _listed(file: Path) -> Iterator[Clip]:
    for clip in read_recordings(file, {}, None, repeated=True).recordings:
        if clip.text is None:
            raise BadInput(f"{clip.place}: {clip.audio} has no text; say what each recording says")
        try:
            yield clip_of(clip.text, *read_recording(clip.read(), clip.segment))
        except BadInput as error:
            raise BadInput(f"{clip.place}: {clip.audio}: {error}; leave it out") from None
