"""Speech to measure: a person's recordings, and voices of flite and espeak-ng made anew."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.paths import ROOT
from ttsrl.audio.io import read_mono
from ttsrl.audio.waveform import Waveform

CLIPS = ROOT / "ttsrl/data/clips"
RATE_HZ = 16_000

FLITE = ("slt", "rms", "awb")
SENTENCES = {
    "en": (
        "The quick brown fox jumps over the lazy dog near the river bank.",
        "We walked to the old town and bought bread, cheese and a bottle of wine.",
    ),
    "de": (
        "Der schnelle braune Fuchs springt über den faulen Hund.",
        "Ich habe heute Morgen drei Brötchen gekauft.",
    ),
    "fr": ("Le chat dort sur le canapé depuis ce matin.",),
    "es": ("El perro corre por el parque todas las mañanas.",),
    "it": ("Oggi il tempo è molto bello e andiamo al mare.",),
    "pt": ("O menino comprou pão e leite na padaria.",),
}


@dataclass(frozen=True)
class SpokenClip:
    """A text said in one language, at 16 kHz."""

    name: str
    waveform: Waveform
    text: str
    language: str


def librivox_clips() -> list[SpokenClip]:
    """Sentences read by a person, in lower case without punctuation."""
    _, *lines = (CLIPS / "transcripts.tsv").read_text().splitlines()
    named = [line.split("\t") for line in lines]
    return [
        SpokenClip(file.removesuffix(".flac"), read_mono(CLIPS / file, RATE_HZ), text, "en")
        for file, text in named
    ]


def synthetic_clips(folder: Path) -> list[SpokenClip]:
    """Each sentence by espeak-ng, the English ones also by three voices of flite."""
    clips = [
        say(folder, "espeak-ng", language, text, language)
        for language, texts in SENTENCES.items()
        for text in texts
    ]
    return clips + [
        say(folder, "flite", voice, text) for voice in FLITE for text in SENTENCES["en"]
    ]


def say(folder: Path, program: str, voice: str, text: str, language: str = "en") -> SpokenClip:
    """The text by one voice of espeak-ng or flite; the test is skipped where the program is not."""
    if shutil.which(program) is None:
        pytest.skip(f"no voice: apt-get install {program}")
    file = folder / "said.wav"
    spoken = {
        "espeak-ng": ["-v", voice, "-w", str(file), text],
        "flite": ["-voice", voice, "-t", text, "-o", str(file)],
    }
    subprocess.run([program, *spoken[program]], check=True)
    return SpokenClip(f"{program} {voice}: {text}", read_mono(file, RATE_HZ), text, language)
