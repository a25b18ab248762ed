"""CPU seconds that each scorer beside Whisper takes for a second of speech.

python benchmarks/scorer_cost.py

Prosody and DNSMOS run with their published weights; CLAP and WavLM with random weights in their
published shape (transformers' default configuration), which cost the same.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import soundfile
from tokenizers import Tokenizer, models
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    PreTrainedTokenizerFast,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WavLMForXVector,
)

from ttsrl.reward.config import RewardConfig, WhisperConfig
from ttsrl.scorers.base import SpeechSample
from ttsrl.scorers.reference import RATE_HZ, voice
from ttsrl.scorers.registry import load_scorers

LENGTHS_S = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
TYPES = ("rate", "pitch_spread", "snr", "dnsmos", "style", "speaker")


def main() -> None:
    """Print one line a scorer."""
    with tempfile.TemporaryDirectory() as folder:
        settings = _models(Path(folder))
        components: list[Any] = [{"type": t, **settings.get(t, {})} for t in TYPES]
        reward = RewardConfig(whisper=WhisperConfig(model="unused"), components=components)
        scorers = load_scorers(reward)
        speeches = [
            SpeechSample(voice(s), RATE_HZ, "a reference clip", "en", "whispering", "anna")
            for s in LENGTHS_S
        ]
        print(f"CPU seconds a second of speech, {len(speeches)} utterances of 2 to 8 s")
        for name, scorer in scorers.items():
            scorer.score(speeches[:1])
            start = time.process_time()
            scorer.score(speeches)
            seconds = time.process_time() - start
            print(f"  {name:<14}{seconds / sum(LENGTHS_S):8.4f}")


def _models(folder: Path) -> dict[str, dict[str, str]]:
    clap, wavlm, voices = folder / "clap", folder / "wavlm", folder / "voices"
    ClapModel(ClapConfig()).save_pretrained(clap)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(clap)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "whispering": 1}, unk_token="<pad>"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(clap)
    WavLMForXVector(WavLMConfig()).save_pretrained(wavlm)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(wavlm)
    voices.mkdir()
    soundfile.write(voices / "anna.wav", voice(3.0), RATE_HZ)
    return {
        "style": {"model": str(clap)},
        "speaker": {"model": str(wavlm), "voices": str(voices)},
    }


if __name__ == "__main__":
    main()
