"""Right speech has no errors: texts with numbers and symbols, spoken by a voice, heard by Whisper.

Left out are sentences of which Whisper base hears another word ("AT&T", "2 + 2"): that is an error.
"""

from __future__ import annotations

from pathlib import Path

from support.speech import RATE_HZ, say
from ttsrl.scorers.whisper.scorer import WhisperScorer

ENGLISH = [
    "It is 20°C outside.",
    "The price is $10.50.",
    "He was born on March 5, 1984.",
    "Meet me at 10:30.",
    "Dr. Brown lives at 21 Baker St.",
    "The colour of the theatre is grey.",
    "The 1st and the 22nd came.",
    "It was -5 degrees.",
    "There were 1,250 people.",
]
GERMAN = ["Das kostet 10,50 €.", "Es sind 20 °C."]


def test_what_is_said_right_and_heard_right_has_no_errors(
    tmp_path: Path, base_scorer: WhisperScorer
) -> None:
    clips = [say(tmp_path, "flite", "slt", text) for text in ENGLISH]
    clips += [say(tmp_path, "espeak-ng", "de", text, "de") for text in GERMAN]
    raws = base_scorer.score(
        [clip.waveform for clip in clips],
        RATE_HZ,
        [clip.text for clip in clips],
        [clip.language for clip in clips],
    )
    wrong = {
        clip.text: raw.transcript for clip, raw in zip(clips, raws, strict=True) if raw.cer > 0
    }
    assert wrong == {}
