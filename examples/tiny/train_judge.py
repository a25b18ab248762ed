"""Evaluation's recogniser: a Conformer with CTC over characters, of its own design."""

from __future__ import annotations

import json
import string
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import (
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
    Wav2Vec2BertProcessor,
    Wav2Vec2CTCTokenizer,
)

from examples.tiny import augment
from examples.tiny.clips import Clips, TrainingClip, frame_labels
from examples.tiny.domain import WORDS
from examples.tiny.speech import SAMPLE_RATE_HZ
from examples.tiny.training import Training
from ttsrl.codecs.tiny import TinyCodec


def train(
    codec: TinyCodec, steps: int = 1_000, batch: int = 24
) -> tuple[Wav2Vec2BertForCTC, Wav2Vec2BertProcessor]:
    """Train on the policy's voice through the codec, on the voice itself, and on one of a man.

    Beside the characters the encoder learns which word each frame is in.
    """
    torch.manual_seed(2)
    noise = np.random.default_rng(2)
    processor = new_processor()
    model = new_model(processor).train()
    word_of_frame = nn.Linear(model.config.hidden_size, 1 + len(WORDS))
    clips = Clips(codec, [("kal16", 0.8), ("slt", 0.9)], seed=2)
    parameters = [*model.parameters(), *word_of_frame.parameters()]
    run = Training("judge", parameters, steps, rate=1e-3, decay=0.01)
    for _ in run.steps():
        heard = [_augmented(clip, noise) for clip in clips.batch(batch)]
        waveforms = [clip.waveform for clip in heard]
        inputs = cast(Any, processor)(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        encoded = model.wav2vec2_bert(**inputs).last_hidden_state
        frames = word_of_frame(encoded)
        characters = [processor.tokenizer(" ".join(clip.words)).input_ids for clip in heard]
        transcript = F.ctc_loss(
            model.lm_head(encoded).log_softmax(-1).transpose(0, 1),
            torch.tensor([c for row in characters for c in row]),
            inputs.attention_mask.sum(1),
            torch.tensor([len(row) for row in characters]),
            zero_infinity=True,
        )
        labels = frame_labels(heard, frames.shape[1])
        run.descend(transcript=transcript, frames=F.cross_entropy(frames.transpose(1, 2), labels))
    return model.eval(), processor


def _augmented(clip: TrainingClip, rng: np.random.Generator) -> TrainingClip:
    """Shifted, brighter or duller, at times in noise that rumbles."""
    clip = augment.gain(augment.shift(clip, rng), rng)
    if rng.random() < 0.5:
        clip = augment.tilt(clip, rng)
    if rng.random() < 0.6:
        clip = augment.noise(clip, rng, colour=1.0)
    return clip


def new_processor() -> Wav2Vec2BertProcessor:
    """Log-mel features at 50 a second, and characters."""
    symbols = ["[PAD]", "[UNK]", "|", *string.ascii_lowercase]
    with TemporaryDirectory() as folder:
        vocabulary = Path(folder) / "vocab.json"
        vocabulary.write_text(json.dumps({symbol: i for i, symbol in enumerate(symbols)}))
        unused: dict[str, Any] = {"bos_token": None, "eos_token": None}
        tokenizer = Wav2Vec2CTCTokenizer(
            str(vocabulary), **unused, unk_token="[UNK]", pad_token="[PAD]"
        )
    return Wav2Vec2BertProcessor(SeamlessM4TFeatureExtractor(), tokenizer)


def new_model(processor: Wav2Vec2BertProcessor) -> Wav2Vec2BertForCTC:
    """A Conformer with random weights."""
    config = Wav2Vec2BertConfig(
        vocab_size=len(processor.tokenizer),
        pad_token_id=processor.tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=None,
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=384,
        conv_depthwise_kernel_size=15,
        apply_spec_augment=False,
        hidden_dropout=0.0,
        activation_dropout=0.0,
        attention_dropout=0.0,
        conformer_conv_dropout=0.0,
        final_dropout=0.0,
        layerdrop=0.0,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
    )
    return Wav2Vec2BertForCTC(config)


def save(model: Wav2Vec2BertForCTC, processor: Wav2Vec2BertProcessor, folder: Path) -> None:
    """Write the recogniser as a Hugging Face folder, its weights in float16."""
    model.half().save_pretrained(folder)
    processor.save_pretrained(folder)
