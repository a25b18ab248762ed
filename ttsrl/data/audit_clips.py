"""The recordings that an audit of a reward spoils: a run's own, or those that come with ttsrl."""

from __future__ import annotations

import base64
from pathlib import Path

from pydantic import ValidationError

from ttsrl.audio.io import flac, read_recording
from ttsrl.config.schema import RunConfig
from ttsrl.data.recordings import Recording, read_recordings
from ttsrl.errors import BadInput
from ttsrl.wire import AuditClip, AuditRequest

SHIPPED = Path(__file__).parent / "clips" / "transcripts.tsv"
SHIPPED_LANGUAGE = "en"
LONGEST_S = 30.0
"""Whisper's window: a longer clip is gated as it is."""
MOST = 32
"""What one request holds, even at 48 kHz."""
SHORTEST_S = 0.1


def clips_of(run: RunConfig) -> AuditRequest | None:
    """The clips that a run names, else those that come with ttsrl; None where none of these are
    in the run's language. Raises BadInput."""
    if run.guards.audit_clips is not None:
        return read_clips(Path(run.guards.audit_clips), run.data.language)
    if run.data.language != SHIPPED_LANGUAGE:
        return None
    return read_clips(SHIPPED, SHIPPED_LANGUAGE)


def no_clips(run: RunConfig) -> str:
    """Why `clips_of` has none."""
    return (
        f"the recordings that come with ttsrl are in {SHIPPED_LANGUAGE!r}, and data.language is "
        f"{run.data.language!r}"
    )


def read_clips(source: Path, language: str) -> AuditRequest:
    """The recordings of a source with their texts, whatever `ttsrl.data.recordings` reads.

    Raises BadInput for a recording without a text, or that cannot be read.
    """
    recordings = read_recordings(source, {}, language, repeated=True).recordings
    if len(recordings) > MOST:
        raise BadInput(
            f"{source} has {len(recordings)} recordings, and an audit takes at most {MOST}; "
            "give it a list of some of them"
        )
    clips = [_clip(recording, language) for recording in recordings]
    if len({clip.text for clip in clips}) < 2:
        raise BadInput(f"{source} has fewer than two texts; give several recordings")
    return AuditRequest(clips=clips)


def _clip(recording: Recording, language: str) -> AuditClip:
    place = f"{recording.place}: {recording.audio}"
    if recording.text is None:
        raise BadInput(f"{place} has no text; the audit needs what each recording says")
    try:
        samples, rate_hz = read_recording(recording.read(), recording.segment, LONGEST_S)
        if (duration_s := len(samples) / rate_hz) < SHORTEST_S:
            raise BadInput(f"the audio has {duration_s:.3f} s; give at least {SHORTEST_S:g} s")
        return AuditClip(
            text=recording.text,
            language=recording.language or language,
            audio=base64.b64encode(flac(samples, rate_hz)),
            speaker=recording.speaker,
        )
    except ValidationError as error:
        raise BadInput(f"{place}: {error.errors()[0]['msg']}; correct its text") from None
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from None
