"""CPU seconds that each scorer beside Whisper takes for a second of speech.

python benchmarks/scorer_cost.py

Prosody, DNSMOS, DistillMOS and Resemblyzer run with their published weights; CLAP, WavLM and the
classifier (wav2vec 2.0) with random weights in their published shape (transformers' default
configuration), which cost the same.
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
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WavLMConfig,
    WavLMForXVector,
)

from ttsrl.reward.config import RewardConfig
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.scorers.reference import RATE_HZ, voice
from ttsrl.scorers.registry import load_scorers
from ttsrl.scorers.remote import RemoteScorer

LENGTHS_S = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0)


def main() -> None:
    """Print one line a scorer."""
    speeches = [
        SpeechSample(voice(s), RATE_HZ, "a reference clip", "en", "whispering", "anna")
        for s in LENGTHS_S
    ]
    print(f"CPU seconds a second of speech, {len(speeches)} utterances of 2 to 8 s")
    with tempfile.TemporaryDirectory() as folder:
        for name, component in _components(Path(folder)).items():
            scorer = _load(component)
            scorer.score(speeches[:1])
            start = time.process_time()
            scorer.score(speeches)
            seconds = time.process_time() - start
            print(f"  {name:<20}{seconds / sum(LENGTHS_S):8.4f}", flush=True)


def _load(component: dict[str, Any]) -> Scorer:
    config = {"whisper": {"model": "unused"}, "components": [{"type": "cer"}, component]}
    config |= {"gates": {"min_speech_s": 0}}
    [scorer] = load_scorers(RewardConfig.model_validate(config)).values()
    assert not isinstance(scorer, RemoteScorer)
    return scorer


def _components(folder: Path) -> dict[str, dict[str, Any]]:
    """What is measured, by its name in the output."""
    names = ("clap", "wavlm", "classifier", "voices")
    clap, wavlm, classifier, voices = (folder / name for name in names)
    ClapModel(ClapConfig()).save_pretrained(clap)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(clap)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "whispering": 1}, unk_token="<pad>"))
    PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>").save_pretrained(clap)
    WavLMForXVector(WavLMConfig()).save_pretrained(wavlm)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(wavlm)
    Wav2Vec2ForSequenceClassification(Wav2Vec2Config()).save_pretrained(classifier)
    Wav2Vec2FeatureExtractor().save_pretrained(classifier)
    voices.mkdir()
    soundfile.write(voices / "anna.wav", voice(3.0), RATE_HZ)
    speaker = {"type": "speaker", "voices": str(voices)}
    return {
        **{t: {"type": t} for t in ("rate", "pitch_spread", "snr", "dnsmos", "distillmos")},
        "classifier": {"type": "classifier", "model": str(classifier), "labels": ["LABEL_0"]},
        "style": {"type": "style", "model": str(clap)},
        "speaker, WavLM": {**speaker, "model": str(wavlm)},
        "speaker, resemblyzer": {**speaker, "model": "resemblyzer"},
    }


if __name__ == "__main__":
    main()
