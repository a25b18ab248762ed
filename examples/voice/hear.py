"""How well a policy is understood: it speaks sentences that no training has read.

python -m examples.voice.hear                                   # the committed policy
python -m examples.voice.hear --policy FOLDER --whisper FOLDER  # another one, heard by your Whisper
python -m examples.voice.hear --recordings                      # flite's own speech, for comparison

Three recognisers listen: OpenAI's Whisper base (faster-whisper, greedy, no time stamps); Moonshine
tiny, which is kin to it (pip install moonshine-voice==0.1.0); and PocketSphinx, which is unlike
both (pip install pocketsphinx==5.1.1).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from examples.voice.corpus import HERE, RATE_HZ, TEXTS, held_out_texts
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.mel_codec import MelCodec
from ttsrl.scorers.base import Recogniser
from ttsrl.synthesis.synthesiser import SynthesisedSpeech, Synthesiser
from ttsrl.text.normalise import cer

MAX_TOKENS = 320
"""As `rollout.max_speech_tokens` of run.json."""
Hearing = Callable[[Sequence[Waveform]], list[str]]


class HeardSentence(NamedTuple):
    """One sentence as it was said."""

    waveform: Waveform
    """[T] at 16 kHz."""
    finished: bool
    """Whether it ended by itself."""


Speaker = Callable[[Sequence[str]], list[HeardSentence]]


def main() -> None:
    """Print a row of the table per set of sentences and way of drawing tokens."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--policy", type=Path, default=HERE / "policy")
    parser.add_argument("--codec", type=Path, default=HERE / "codec")
    parser.add_argument("--whisper", default="base", help="size, or folder of its CTranslate2 form")
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--common-voice", type=int, default=40)
    parser.add_argument(
        "--recordings", action="store_true", help="in place of the policy: what it has learnt from"
    )
    given = parser.parse_args()
    sets = {
        "held out": held_out_texts()[: given.held_out],
        "Common Voice": common_voice_texts()[: given.common_voice],
    }
    hearings = {
        "Whisper base": whisper(given.whisper),
        "Moonshine tiny": moonshine(),
        "PocketSphinx": pocketsphinx(),
    }
    print("| sentences | drawn | " + " | ".join(hearings) + " | ended | mean s |", flush=True)
    speakers = recordings(given.codec) if given.recordings else drawn(given.policy, given.codec)
    for name, texts in sets.items():
        for way, speaks in speakers.items() if texts else ():
            said = speaks(texts)
            rates = (f"{100 * error(texts, said, hears):.1f} %" for hears in hearings.values())
            ended = f"{100 * np.mean([one.finished for one in said]):.0f} %"
            seconds = f"{np.mean([len(one.waveform) / RATE_HZ for one in said]):.2f}"
            row = [f"{len(texts)} {name}", way, *rates, ended, seconds]
            print("| " + " | ".join(row) + " |", flush=True)


def drawn(policy: Path, codec: Path) -> dict[str, Speaker]:
    """The policy, by way of drawing tokens."""
    voice = Synthesiser(str(policy), str(codec), "llasa")
    return {
        way: lambda texts, temperature=temperature: [
            HeardSentence(one.waveform, one.finished) for one in speak(voice, texts, temperature)
        ]
        for way, temperature in (("sampled", 1.0), ("greedy", 0.0))
    }


def recordings(folder: Path) -> dict[str, Speaker]:
    """flite, which the policy has learnt from: as it is, and as the codec gives it back."""
    from examples.voice.flite import load_voice

    say, codec = load_voice(), MelCodec.load(str(folder))

    def flite(texts: Sequence[str]) -> list[HeardSentence]:
        return [
            HeardSentence(say(text).astype(np.float32) / np.float32(32_768), True) for text in texts
        ]

    def coded(texts: Sequence[str]) -> list[HeardSentence]:
        tokens = codec.encode([one.waveform for one in flite(texts)])
        return [HeardSentence(waveform, True) for waveform in codec.decode(tokens)]

    return {"flite": flite, "flite by the codec": coded}


def common_voice_texts() -> list[str]:
    """Sentences of a source that no training has seen."""
    lines = (TEXTS / "common_voice.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def speak(voice: Synthesiser, texts: Sequence[str], temperature: float) -> list[SynthesisedSpeech]:
    """Each text once; temperature 0 is greedy."""
    return voice.synthesise(texts, temperature=temperature, seed=0, max_tokens=MAX_TOKENS)


def error(texts: Sequence[str], said: Sequence[HeardSentence], hears: Hearing) -> float:
    """Mean character error rate per sentence."""
    heard = hears([one.waveform for one in said])
    return float(np.mean([cer(text, h, "en") for text, h in zip(texts, heard, strict=True)]))


def whisper(model: str) -> Hearing:
    """Whisper on a CPU, its weights in 8 bits."""
    from faster_whisper import WhisperModel

    recogniser = WhisperModel(model, device="cpu", compute_type="int8")

    def hear(waveform: Waveform) -> str:
        segments, _ = recogniser.transcribe(
            waveform, "en", beam_size=1, temperature=0.0, without_timestamps=True
        )
        return "".join(segment.text for segment in segments)

    return lambda waveforms: [hear(waveform) if len(waveform) else "" for waveform in waveforms]


def moonshine() -> Hearing:
    """Moonshine tiny with its package's weights."""
    from ttsrl.scorers.moonshine import load_moonshine

    return _heard_by(load_moonshine("moonshine_voice"))


def pocketsphinx() -> Hearing:
    """PocketSphinx with its package's weights."""
    from ttsrl.scorers.sphinx import PocketSphinx

    return _heard_by(PocketSphinx())


def _heard_by(recogniser: Recogniser) -> Hearing:
    return lambda waves: recogniser.transcribe(list(waves), RATE_HZ, ["en"] * len(waves))


if __name__ == "__main__":
    main()
