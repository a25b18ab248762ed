"""Recordings -> speech tokens: parquet shards that a killed run resumes.

The recordings are cut into shards in their order, so that a shard's content depends on nothing but
them and the options; within a shard, neighbours in length are encoded together, while the next ones
are read.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from ttsrl.audio.io import duration_of, read_mono
from ttsrl.audio.waveform import Waveform
from ttsrl.base import Strict
from ttsrl.codecs.base import Encoder
from ttsrl.codecs.registry import load_encoder
from ttsrl.data.layouts.registry import LayoutName
from ttsrl.data.recordings import Recording, read_recordings
from ttsrl.data.survey import Survey
from ttsrl.data.token_shards import (
    CodecFacts,
    ShardFacts,
    Skipped,
    encoder_digest,
    read_shard,
    shard_paths,
    write_shard,
)
from ttsrl.errors import BadInput
from ttsrl.models.hub import local_data, local_folder
from ttsrl.runtime.machine import cores, torch_device
from ttsrl.storage.atomic import replace_text

Device = Literal["auto", "cpu", "cuda"]
"""auto is cuda where there is one."""

PLAN = "encode.json"
SKIPPED = "skipped.jsonl"
SILENCE = 1e-4
"""A recording without a sample this far from 0 (-80 dB of full scale) says nothing."""
TOLD_SLACK_S, TOLD_SLACK = 0.5, 0.05
"""How far a row's duration may be from its file's, in seconds and as a share: they are rounded."""


class EncodeOptions(Strict):
    """What decides the tokens, beside recordings and codec."""

    columns: dict[str, str] = {}
    """Field -> its name in the source, where that is another."""
    layout: LayoutName = "auto"
    """How a corpus's folder is laid out."""
    language: str | None = None
    """ISO 639-1 code of recordings that name none."""
    min_duration_s: float = Field(default=0.1, ge=0.05)
    max_duration_s: float = Field(default=30.0, gt=0)
    """Shorter and longer recordings are left out; no codec can make a token of less than 50 ms."""
    require_text: bool = False
    """Leave out recordings without a transcript."""
    shard_size: int = Field(default=512, ge=1)
    """Recordings a shard; what a killed run had begun of one is done again."""


@dataclass(frozen=True)
class Encoded:
    """What became of the recordings."""

    recordings: int
    """Those that have speech tokens now."""
    skipped: int
    """Those that have none; `skipped.jsonl` tells why."""
    without_text: int
    """Those without a transcript: they cannot become prompts."""
    speech_tokens: int
    duration_s: float
    done_before: int
    """Recordings whose shards an earlier run had finished."""


def encode(
    source: str,
    codec: str,
    out: Path,
    options: EncodeOptions,
    *,
    device: Device = "auto",
    batch_s: float = 120.0,
    on_progress: Callable[[int, int], None] | None = None,
    on_survey: Callable[[Survey], None] | None = None,
) -> Encoded:
    """Write the speech tokens of all recordings of `source` into the folder `out`.

    `source` is a path (see `ttsrl.data.recordings`), or the Hugging Face id of a data set.
    `batch_s` is the speech that goes through the codec at once; `on_progress` gets (recordings
    done, recordings in all), `on_survey` what was found, before a codec loads. The same call
    resumes a killed one. Raises BadInput for what cannot be used as a whole; a recording that
    cannot be used is left out, with its reason.
    """
    found = read_recordings(local_data(source), options.columns, options.language, options.layout)
    recordings = found.recordings
    if options.require_text and not found.survey.with_text:
        raise BadInput(
            f"none of {len(recordings)} recordings in {source} has a transcript, and "
            "--require-text wants one of each; docs/data.md says where they are looked for"
        )
    if on_survey is not None:
        on_survey(found.survey)
    folder = local_folder(codec)
    digest = encoder_digest(folder)
    _claim(out, _plan(recordings, codec, digest, options))
    size = options.shard_size
    paths = shard_paths(out, -(-len(recordings) // size))
    encoder: Encoder | None = None
    done_before = 0

    def tell(before: int) -> Callable[[int], None]:
        return lambda n: on_progress(before + n, len(recordings)) if on_progress else None

    for i, path in enumerate(paths):
        shard = recordings[i * size : (i + 1) * size]
        if path.is_file():
            done_before += len(shard)
        else:
            encoder = encoder or load_encoder(
                str(folder), torch_device() if device == "auto" else device
            )
            facts = CodecFacts(
                codec, digest, encoder.codebook_size, encoder.sample_rate_hz, encoder.tokens_per_s
            )
            rows, skipped = _encode_shard(shard, encoder, options, batch_s, tell(i * size))
            write_shard(path, rows, ShardFacts(facts, skipped))
        tell(i * size)(len(shard))
    return _finish(out, paths, done_before)


def _plan(
    recordings: Sequence[Recording], codec: str, digest: str, options: EncodeOptions
) -> dict[str, Any]:
    listing = hashlib.sha256()
    for r in recordings:
        part = [r.segment.offset_s, r.segment.duration_s]
        row = [r.id, r.audio, r.text, r.language, r.speaker, *part]
        line = json.dumps(row, ensure_ascii=False)
        listing.update(f"{line}\n".encode())
    return {
        "recordings": len(recordings),
        "listing_sha256": listing.hexdigest(),
        "codec": codec,
        "codec_digest": digest,
        **options.model_dump(),
    }


def _claim(out: Path, plan: dict[str, Any]) -> None:
    """Begin in an empty folder, or resume one that the same plan began; else BadInput."""
    file = out / PLAN
    if file.is_file():
        before: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        changed = sorted(k for k in {*plan, *before} - {"codec"} if plan.get(k) != before.get(k))
        if changed:
            raise BadInput(
                f"{out} was begun with other {', '.join(changed)} (see {file}): its shards would "
                "not fit together; give another folder, or remove this one"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is there already and `ttsrl encode` did not begin it; give another")
    out.mkdir(parents=True, exist_ok=True)
    replace_text(file, json.dumps(plan, indent=1, ensure_ascii=False) + "\n")


def _encode_shard(
    recordings: Sequence[Recording],
    encoder: Encoder,
    options: EncodeOptions,
    batch_s: float,
    on_progress: Callable[[int], None],
) -> tuple[list[dict[str, Any]], list[Skipped]]:
    """(rows of the shard, recordings that are left out), both in the order of the recordings."""
    reasons: dict[str, str] = {}
    durations: dict[str, float] = {}
    tokens: dict[str, list[int]] = {}
    with ThreadPoolExecutor(max(2, round(cores()))) as pool:
        found = pool.map(partial(_duration, options=options), recordings)
        for recording, duration in zip(recordings, found, strict=True):
            if isinstance(duration, str):
                reasons[recording.id] = duration
            else:
                durations[recording.id] = duration
        usable = sorted((r for r in recordings if r.id in durations), key=lambda r: durations[r.id])
        batches = _batches(usable, durations, batch_s)
        read = partial(_waveform, sample_rate_hz=encoder.sample_rate_hz, options=options)
        for batch, waveforms in _read_ahead(pool, batches, read):
            heard: dict[str, Waveform] = {}
            for recording, waveform in zip(batch, waveforms, strict=True):
                if isinstance(waveform, str):
                    reasons[recording.id] = waveform
                else:
                    heard[recording.id] = waveform
                    durations[recording.id] = len(waveform) / encoder.sample_rate_hz
            if heard:
                tokens |= zip(heard, encoder.encode(list(heard.values())), strict=True)
            on_progress(len(reasons) + len(tokens))
    rows = [
        {
            "id": r.id,
            "audio": r.audio,
            "text": r.text,
            "language": r.language,
            "speaker": r.speaker,
            "duration_s": durations[r.id],
            "speech_tokens": tokens[r.id],
        }
        for r in recordings
        if r.id in tokens
    ]
    skipped = [Skipped(r.id, r.audio, reasons[r.id]) for r in recordings if r.id in reasons]
    return rows, skipped


def _duration(recording: Recording, options: EncodeOptions) -> float | str:
    """Seconds, or why the recording is left out."""
    if options.require_text and recording.text is None:
        return "it has no transcript (no text)"
    try:
        duration_s = duration_of(recording.read(), recording.segment)
    except BadInput as error:
        return str(error)
    told_s = recording.duration_s
    if told_s is not None and abs(told_s - duration_s) > TOLD_SLACK_S + TOLD_SLACK * told_s:
        return (
            f"its row says that it lasts {told_s:.2f} s, and the file has {duration_s:.2f} s; give "
            "an offset, too, if the text is of a part of it"
        )
    if duration_s < options.min_duration_s:
        return f"it has {duration_s:.3f} s, less than {options.min_duration_s:g}"
    if duration_s > options.max_duration_s:
        return f"it has {duration_s:.1f} s, more than {options.max_duration_s:g}"
    return duration_s


def _waveform(recording: Recording, sample_rate_hz: int, options: EncodeOptions) -> Waveform | str:
    """The samples, or why the recording is left out."""
    try:
        waveform = read_mono(
            recording.read(), sample_rate_hz, recording.segment, options.max_duration_s
        )
    except BadInput as error:
        return str(error)
    return waveform if np.abs(waveform).max() >= SILENCE else "it is silent"


def _batches(
    by_length: Sequence[Recording], durations: dict[str, float], batch_s: float
) -> Iterator[list[Recording]]:
    """Neighbours in length, as many as `batch_s` holds once the shorter ones are padded."""
    batch: list[Recording] = []
    for recording in by_length:
        if batch and durations[recording.id] * (len(batch) + 1) > batch_s:
            yield batch
            batch = []
        batch.append(recording)
    if batch:
        yield batch


def _read_ahead(
    pool: ThreadPoolExecutor,
    batches: Iterator[list[Recording]],
    read: Callable[[Recording], Waveform | str],
) -> Iterator[tuple[list[Recording], list[Waveform | str]]]:
    """Each batch with its waveforms; the next batch is being read meanwhile."""
    reading: deque[tuple[list[Recording], list[Future[Waveform | str]]]] = deque()

    def first() -> tuple[list[Recording], list[Waveform | str]]:
        batch, futures = reading.popleft()
        return batch, [future.result() for future in futures]

    for batch in batches:
        reading.append((batch, [pool.submit(read, r) for r in batch]))
        if len(reading) > 1:
            yield first()
    while reading:
        yield first()


def _finish(out: Path, paths: Sequence[Path], done_before: int) -> Encoded:
    shards = [read_shard(path) for path in paths]
    skipped = [skipped for shard in shards for skipped in shard.skipped]
    lines = [json.dumps(asdict(s), ensure_ascii=False) + "\n" for s in skipped]
    (out / SKIPPED).write_text("".join(lines), encoding="utf-8")
    encoded = Encoded(
        sum(shard.recordings for shard in shards),
        len(skipped),
        sum(shard.without_text for shard in shards),
        sum(shard.speech_tokens for shard in shards),
        sum(shard.duration_s for shard in shards),
        done_before,
    )
    if not encoded.recordings:
        for path in [*paths, out / SKIPPED, out / PLAN]:
            path.unlink()
        with suppress(OSError):
            (out / "data").rmdir()
            out.rmdir()
        raise BadInput(
            f"none of {len(skipped)} recordings can be used; the first, {skipped[0].audio}: "
            f"{skipped[0].reason}"
        )
    return encoded
