"""What can be listened to: the same texts before and after, and single rollouts of training."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from markupsafe import Markup

from ttsrl.audio.io import flac_uri, read_recording
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.base import Codec, can_decode
from ttsrl.codecs.registry import load_codec
from ttsrl.errors import BadInput
from ttsrl.evaluation.report.inputs import Evaluation, RunFolder
from ttsrl.models.hub import local_folder
from ttsrl.records.evaluation import MODES, EvaluationRow
from ttsrl.records.rollout import RolloutSample
from ttsrl.text.languages import BY_CHARACTER
from ttsrl.text.normalise import compared

ROLLOUTS = 12


@dataclass(frozen=True)
class PlayedClip:
    """One player with what was heard; `audio` is a data URI, None where nothing can be played."""

    name: str
    audio: str | None
    transcript: Markup
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Spoken:
    """A text and its clips."""

    text: str
    clips: list[PlayedClip]


class Recorder:
    """Encodes waveforms for the page and knows when it has taken its share of the page's size."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0

    @property
    def full(self) -> bool:
        return self.bytes > self.limit_bytes

    def encode(self, waveform: Waveform, sample_rate_hz: int) -> str:
        """A data URI."""
        uri = flac_uri(waveform, sample_rate_hz)
        self.bytes += len(uri)
        return uri


def before_and_after(folder: RunFolder, recorder: Recorder) -> list[Spoken]:
    """The texts whose speech was kept, in each mode before and after, until `recorder` is full."""
    both = {"before": folder.before, "after": folder.after}
    sides = {name: side for name, side in both.items() if side}
    kept = {name: _with_wav(side) for name, side in sides.items()}
    judge = folder.judge
    spoken: list[Spoken] = []
    for text in dict.fromkeys(text for rows in kept.values() for text, _ in rows):
        rows = [
            (name, row)
            for mode in MODES
            for name in kept
            if (row := kept[name].get((text, mode))) is not None
        ]
        clips = [_evaluated(name, sides[name].folder, row, judge, recorder) for name, row in rows]
        if recorder.full:
            break
        spoken.append(Spoken(text, clips))
    return spoken


def rollouts(folder: RunFolder, recorder: Recorder) -> list[Spoken]:
    """Best, typical, worst and gated rollouts, until `recorder` is full."""
    chosen = _chosen(folder.rollouts)
    if not chosen:
        return []
    codec = _codec_of(folder)
    spoken: list[Spoken] = []
    for row in chosen:
        tokens = row.speech_tokens
        audio = None
        if codec is not None and can_decode(codec, tokens):
            audio = recorder.encode(codec.decode([tokens])[0], codec.sample_rate_hz)
        if recorder.full:
            break
        transcript = marked(row.text, row.transcript, folder.run.data.language)
        clip = PlayedClip(
            f"{row.kind}, step {row.step}", audio, transcript, list(_rollout_facts(row))
        )
        spoken.append(Spoken(row.text, [clip]))
    return spoken


def _codec_of(folder: RunFolder) -> Codec | None:
    """None where this machine cannot have it, as one that is in the images: all else is shown."""
    try:
        return load_codec(str(local_folder(folder.run.codec)), voice=folder.run.voice)
    except BadInput as error:
        print(f"rollouts of training are without sound: {error}", file=sys.stderr)
        return None


def marked(text: str, transcript: str | None, language: str) -> Markup:
    """The normalised transcript with wrong words marked and missing ones struck through.

    In languages that write no spaces, or compare without them, characters stand for words.
    """
    if transcript is None:
        return Markup("<em>no transcript</em>")
    wanted, heard = (_units(side, language) for side in compared(text, transcript, language))
    joint = "" if language in BY_CHARACTER else " "
    parts: list[str] = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, wanted, heard, False).get_opcodes():
        missing, present = escape(joint.join(wanted[a:b])), escape(joint.join(heard[c:d]))
        if kind == "equal":
            parts.append(present)
            continue
        if missing:
            parts.append(f"<del>{missing}</del>")
        if present:
            parts.append(f"<mark>{present}</mark>")
    return Markup(joint.join(parts) or "<em>nothing</em>")


def _units(normalised: str, language: str) -> list[str]:
    return list(normalised) if language in BY_CHARACTER else normalised.split()


def _evaluated(
    name: str, folder: Path, row: EvaluationRow, judge: str, recorder: Recorder
) -> PlayedClip:
    assert row.wav is not None, "only speech that was kept is shown"
    file = folder / row.wav
    try:
        waveform, sample_rate_hz = read_recording(file)
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from None
    verdict = row.judges[judge]
    facts = [("CER", "failed" if verdict.cer is None else f"{verdict.cer * 100:.0f} %")]
    facts.append(("length", f"{row.duration_s:.1f} s"))
    if not row.finished:
        facts.append(("end token", "missing"))
    return PlayedClip(
        f"{name}, {row.mode}",
        recorder.encode(waveform, sample_rate_hz) if len(waveform) else None,
        marked(row.text, verdict.transcript, row.language),
        facts,
    )


def _with_wav(side: Evaluation) -> dict[tuple[str, str], EvaluationRow]:
    return {(row.text, row.mode): row for row in side.rows if row.wav}


def _chosen(rows: Sequence[RolloutSample]) -> list[RolloutSample]:
    """By kind and step, the extremes of training first; one of each reason for a gate."""
    if not rows:
        return []
    ends = {rows[0].step, rows[-1].step}
    chosen = [row for row in rows if row.step in ends and row.kind != "gated"]
    gated = {row.reason: row for row in rows if row.kind == "gated"}
    return [*chosen, *gated.values()][:ROLLOUTS]


def _rollout_facts(row: RolloutSample) -> Iterator[tuple[str, str]]:
    if row.reason:
        yield "gate", row.reason.replace("_", " ")
    yield "reward", f"{row.reward:.3f}"
    for name, value in (row.raw or {}).items():
        utility = (row.utilities or {}).get(name)
        yield name, f"{value:.3f}" + ("" if utility is None else f" → {utility:.3f}")
    if row.duration_s:
        yield "length", f"{row.duration_s:.1f} s"
