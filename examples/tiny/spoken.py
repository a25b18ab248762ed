"""clips/: three texts said right by the codec, which the audit of a reward spoils."""

from __future__ import annotations

import soundfile

from examples.tiny.domain import HERE
from examples.tiny.word_tokens import say
from ttsrl.codecs.tiny import TinyCodec

TEXTS: tuple[str, ...] = (
    "four red tigers run home",
    "black birds sing today",
    "two quick robots climb early",
)


def write_clips() -> None:
    """Write them as FLAC, with the list that names them."""
    folder = HERE / "clips"
    folder.mkdir(exist_ok=True)
    codec = TinyCodec.load(str(HERE / "codec"))
    lines = ["wav\ttext"]
    for text, spoken in zip(TEXTS, codec.decode([say(t.split()) for t in TEXTS]), strict=True):
        file = f"{text.replace(' ', '-')}.flac"
        soundfile.write(folder / file, spoken, codec.sample_rate_hz, subtype="PCM_16")
        lines.append(f"{file}\t{text}")
    (folder / "clips.tsv").write_text("\n".join(lines) + "\n")
