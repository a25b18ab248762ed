"""PocketSphinx: hidden Markov models, a pronunciation dictionary and word trigrams.

As a recogniser it has nothing in common with the networks that give rewards: what fools those does
not fool it. It writes words of its dictionary alone (CMUdict, 134 000 words), in American English;
where the user gives a language model, the words of that one.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ttsrl.audio.io import resample
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.models.packaged import packaged_model
from ttsrl.runtime.machine import cores

if TYPE_CHECKING:
    from pocketsphinx import Decoder

PACKAGE = "pocketsphinx"
RATE_HZ = 16_000
SHORTEST = 512
"""Samples; the decoder needs a whole frame (410)."""
ENGLISH = "en"
DICTIONARY = "cmudict-en-us.dict"
MANY = 16
"""So many waveforms are heard on all cores, by a process each: it takes a third of a second of a
core per second of speech, and holds Python's lock meanwhile."""


class PocketSphinx:
    """The decoder of the package with its own weights; its settings are the package's own."""

    max_duration_s = math.inf
    languages = frozenset([ENGLISH])

    def __init__(self, model: str = PACKAGE, language_model: str | None = None) -> None:
        """`language_model`: an ARPA file. Raises BadInput."""
        if model != PACKAGE:
            raise BadInput(
                f"PocketSphinx hears with the weights of the package {PACKAGE}, not with {model}; "
                f"set its model to {PACKAGE!r}"
            )
        self._folder = packaged_model(PACKAGE)
        self._language_model = language_model
        if language_model:
            _check_words(Path(language_model), _part(self._folder, DICTIONARY))
        self._decoder = _load(self._folder, language_model)
        self._lock = threading.Lock()

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Best transcript of each, in lower case without punctuation; "" where nothing is speech.

        Raises BadInput for a language other than English.
        """
        for language in languages:
            if language != ENGLISH:
                raise BadInput(
                    f"PocketSphinx hears English alone, and a text is in {language!r}; use "
                    "another judge for it"
                )
        heard = [resample(waveform, sample_rate_hz, RATE_HZ) for waveform in waveforms]
        with self._lock:  # a decoder is not safe for threads
            if len(heard) < MANY or cores() < 2:
                return [_transcript(self._decoder, waveform) for waveform in heard]
            return list(self._processes.map(_transcript_here, heard))

    @cached_property
    def _processes(self) -> ProcessPoolExecutor:
        """A decoder per core; they end with this process."""
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(
            int(cores()), spawn, _load_here, (self._folder, self._language_model)
        )


def _check_words(arpa: Path, dictionary: str) -> None:
    """Raises BadInput where an ARPA file is none, or has words that cannot be heard."""
    if not arpa.is_file():
        raise BadInput(f"language_model {arpa} is not a file; give an ARPA file of word n-grams")
    _, found, after = arpa.read_text(encoding="utf-8", errors="replace").partition("\\1-grams:")
    unigrams = [line.split() for line in after.partition("\n\\")[0].splitlines()]
    words = [fields[1] for fields in unigrams if len(fields) > 1]
    if not found or not words:
        raise BadInput(
            f"language_model {arpa} is not an ARPA file: no word stands below \\1-grams:"
        )
    known = {line.partition(" ")[0] for line in Path(dictionary).read_text("utf-8").splitlines()}
    if unknown := [word for word in words if word not in known | {"<s>", "</s>", "<unk>"}]:
        raise BadInput(
            f"{arpa} has words that PocketSphinx's dictionary lacks: {', '.join(unknown[:5])} "
            f"({len(unknown)} of {len(words)}); write them as CMUdict does, in lower case, or "
            "leave them out"
        )


def _load(folder: Path, language_model: str | None) -> Decoder:
    from pocketsphinx import Decoder

    return Decoder(
        hmm=_part(folder, "en-us"),
        lm=language_model or _part(folder, "en-us.lm.bin"),
        dict=_part(folder, DICTIONARY),
        samprate=RATE_HZ,
        loglevel="FATAL",
    )


_here: list[Decoder] = []
"""The decoder of a process of the pool."""


def _load_here(folder: Path, language_model: str | None) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _here.append(_load(folder, language_model))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(0)


def _transcript_here(waveform: Waveform) -> str:
    return _transcript(_here[0], waveform)


def _transcript(decoder: Decoder, waveform: Waveform) -> str:
    padded = np.pad(waveform, (0, max(0, SHORTEST - len(waveform))))
    pcm = np.rint(np.clip(padded, -1, 1) * 32_767).astype("<i2").tobytes()
    if not _has_speech(pcm):
        return ""  # the decoder always finds a word
    # Else what came before would change the transcript.
    decoder.reinit_feat()
    decoder.start_utt()
    decoder.process_raw(pcm, no_search=False, full_utt=True)
    decoder.end_utt()
    found = decoder.hyp()
    return "" if found is None else found.hypstr


def _has_speech(pcm: bytes) -> bool:
    """By the package's own detector (WebRTC's), in its least strict mode."""
    from pocketsphinx import Vad

    detector = Vad(Vad.LOOSE, RATE_HZ)
    size = detector.frame_bytes
    frames = (pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size))
    return any(detector.is_speech(frame) for frame in frames)


def _part(folder: Path, name: str) -> str:
    part = folder / name
    if not part.exists():
        raise BadInput(f"{part} is missing: the package {PACKAGE} is damaged; install it again")
    return str(part)
