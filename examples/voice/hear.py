"""How well a policy is understood: it speaks sentences that no training has read.

python -m examples.voice.hear                                   # the committed policy
python -m examples.voice.hear --policy FOLDER --whisper FOLDER  # another one, heard by your Whisper

Two unlike recognisers listen: OpenAI's Whisper base (faster-whisper, greedy, no time stamps) and
PocketSphinx (pip install pocketsphinx==5.1.1).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from examples.voice.corpus import HERE, RATE_HZ, TEXTS, held_out_texts
from ttsrl.audio.waveform import Waveform
from ttsrl.synthesis.synthesiser import SynthesisedSpeech, Synthesiser
from ttsrl.text.normalise import cer

MAX_TOKENS = 320
"""As `rollout.max_speech_tokens` of run.json."""
Hearing = Callable[[Sequence[Waveform]], list[str]]


def main() -> None:
    """Print a row of the table per set of sentences and way of drawing tokens."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--policy", type=Path, default=HERE / "policy")
    parser.add_argument("--codec", type=Path, default=HERE / "codec")
    parser.add_argument("--whisper", default="base", help="size, or folder of its CTranslate2 form")
    parser.add_argument("--held-out", type=int, default=60)
    parser.add_argument("--common-voice", type=int, default=40)
    given = parser.parse_args()
    voice = Synthesiser(str(given.policy), str(given.codec), "llasa")
    sets = {
        "held out": held_out_texts()[: given.held_out],
        "Common Voice": common_voice_texts()[: given.common_voice],
    }
    hearings = {"Whisper base": whisper(given.whisper), "PocketSphinx": pocketsphinx()}
    print("| sentences | drawn | " + " | ".join(hearings) + " | ended | mean s |", flush=True)
    for name, texts in sets.items():
        for drawn, temperature in (("sampled", 1.0), ("greedy", 0.0)):
            if not texts:
                continue
            said = speak(voice, texts, temperature)
            rates = (f"{100 * error(said, hears):.1f} %" for hears in hearings.values())
            ended = f"{100 * np.mean([one.finished for one in said]):.0f} %"
            seconds = f"{np.mean([one.duration_s for one in said]):.2f}"
            row = [f"{len(texts)} {name}", drawn, *rates, ended, seconds]
            print("| " + " | ".join(row) + " |", flush=True)


def common_voice_texts() -> list[str]:
    """Sentences of a source that no training has seen."""
    lines = (TEXTS / "common_voice.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


def speak(voice: Synthesiser, texts: list[str], temperature: float) -> list[SynthesisedSpeech]:
    """Each text once; temperature 0 is greedy."""
    return voice.synthesise(texts, temperature=temperature, seed=0, max_tokens=MAX_TOKENS)


def error(said: list[SynthesisedSpeech], hears: Hearing) -> float:
    """Mean character error rate per sentence."""
    heard = hears([one.waveform for one in said])
    return float(np.mean([cer(one.text, h, "en") for one, h in zip(said, heard, strict=True)]))


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


def pocketsphinx() -> Hearing:
    """PocketSphinx with its package's weights."""
    from ttsrl.scorers.sphinx import PocketSphinx

    recogniser = PocketSphinx()
    return lambda waves: recogniser.transcribe(list(waves), RATE_HZ, ["en"] * len(waves))


if __name__ == "__main__":
    main()
