"""Texts in a folder beside that of the recordings.

VCTK 0.92 (doi.org/10.7488/ds/2645): txt/SPEAKER/NAME.txt and
wav48_silence_trimmed/SPEAKER/NAME_mic1.flac, NAME_mic2.flac; in older versions wav48/SPEAKER/
NAME.wav. WenetSpeech4TTS (arXiv 2406.05763): txts/NAME.txt and wavs/NAME.wav; the first line of a
text file is NAME, a tab and the text, the second one has time stamps.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ttsrl.data.layouts.base import Corpus, Listed, Listing
from ttsrl.errors import BadInput, shorten
from ttsrl.lines.text import text_of

MICROPHONE = re.compile(r"_mic\d$")


class Vctk:
    """txt/SPEAKER/NAME.txt beside a folder of recordings with the same folders."""

    name = "vctk"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        recordings: dict[Path, list[Path]] = defaultdict(list)
        for file in corpus.recordings:
            # ROOT/wav48/p225/p225_001_mic1.flac -> ROOT/p225/p225_001
            if len(file.relative_to(corpus.folder).parts) > 2:
                root, stem = file.parents[2], MICROPHONE.sub("", file.stem)
                recordings[root / file.parent.name / stem].append(file)
        listed: list[Listed] = []
        texts = [f for f in corpus.others if f.suffix == ".txt" and f.parent.parent.name == "txt"]
        for text in texts:
            said = " ".join(text_of(text).split()) or None
            speaker = text.parent.name
            for file in recordings[text.parents[2] / speaker / text.stem]:
                listed.append(Listed(file, text, said, speaker=speaker))
        if texts and not listed:
            raise BadInput(
                f"{texts[0].parents[1]}: no recording has the name of any of its {len(texts)} "
                f"texts; the first is {texts[0]}; put the recordings beside the folder txt, in "
                "folders of the speakers' names"
            )
        return Listing(self.name, listed, frozenset(texts)) if texts else None


class WenetSpeech4Tts:
    """txts/NAME.txt, and wavs/NAME.wav beside the folder txts."""

    name = "wenetspeech4tts"

    def find(self, corpus: Corpus, columns: Mapping[str, str]) -> Listing | None:
        """See `Layout.find`."""
        listed: list[Listed] = []
        read: set[Path] = set()
        for file in corpus.recordings:
            text = file.parent.parent / "txts" / f"{file.stem}.txt"
            if file.parent.name == "wavs" and text in corpus.known:
                read.add(text)
                listed.append(Listed(file, text, _first_line(text, file.stem), language="zh"))
        return Listing(self.name, listed, frozenset(read)) if read else None


def _first_line(file: Path, name: str) -> str | None:
    line = text_of(file).partition("\n")[0]
    said, tab, text = line.partition("\t")
    if not tab or said.strip() != name:
        raise BadInput(
            f"{file}:1: {shorten(line)} is not the name of the recording, a tab and the text, as "
            "WenetSpeech4TTS writes it; correct it, or put the texts beside the recordings"
        )
    return text.strip() or None
