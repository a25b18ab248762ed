"""The style scorer of the reward: a small W2v-BERT that tells the styles apart."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import (
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForSequenceClassification,
)

from examples.styles.domain import STYLES, say, training_phrase
from examples.tiny.speech import SAMPLE_RATE_HZ
from examples.tiny.training import Training
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.tiny import TinyCodec


def train(
    codec: TinyCodec, steps: int = 250, batch: int = 16
) -> Wav2Vec2BertForSequenceClassification:
    """Train on phrases through the codec, in white noise of many levels.

    Those of a batch are cut to its shortest: padding would tell the styles apart by their length.
    """
    torch.manual_seed(5)
    rng, noise = random.Random(5), np.random.default_rng(5)
    extractor, model = SeamlessM4TFeatureExtractor(), new_model().train()
    run = Training("classifier", list(model.parameters()), steps, rate=2e-3, decay=0.01)
    for _ in run.steps():
        styles = [rng.choice(STYLES) for _ in range(batch)]
        spoken = codec.decode([say(training_phrase(rng), style) for style in styles])
        shortest = min(map(len, spoken))
        noisy = [_in_noise(_cut(waveform, shortest, rng), noise) for waveform in spoken]
        inputs = extractor(noisy, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        wanted = torch.tensor([STYLES.index(style) for style in styles])
        run.descend(style=F.cross_entropy(model(**inputs).logits, wanted))
    return model.eval()


def _cut(waveform: Waveform, samples: int, rng: random.Random) -> Waveform:
    start = rng.randint(0, len(waveform) - samples)
    return waveform[start : start + samples]


def _in_noise(waveform: Waveform, rng: np.random.Generator) -> Waveform:
    level = 10 ** (-rng.uniform(30, 70) / 20)
    return (waveform + level * rng.standard_normal(len(waveform))).astype(np.float32)


def new_model() -> Wav2Vec2BertForSequenceClassification:
    """Two layers with random weights."""
    return Wav2Vec2BertForSequenceClassification(
        Wav2Vec2BertConfig(
            hidden_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=128,
            conv_depthwise_kernel_size=15,
            classifier_proj_size=32,
            apply_spec_augment=False,
            hidden_dropout=0.0,
            activation_dropout=0.0,
            attention_dropout=0.0,
            conformer_conv_dropout=0.0,
            final_dropout=0.0,
            layerdrop=0.0,
            id2label=dict(enumerate(STYLES)),
            label2id={style: n for n, style in enumerate(STYLES)},
        )
    )


def save(model: Wav2Vec2BertForSequenceClassification, folder: Path) -> None:
    """Write the classifier as a Hugging Face folder, its weights in float16."""
    model.half().save_pretrained(folder)
    SeamlessM4TFeatureExtractor().save_pretrained(folder)
