"""The reward's recogniser: a tiny Whisper with a window of 3 s, prompted as a multilingual one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AddedToken,
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

from examples.tiny import augment
from examples.tiny.clips import Clips, TrainingClip, frame_labels
from examples.tiny.domain import WORDS
from examples.tiny.speech import SAMPLE_RATE_HZ
from examples.tiny.training import Training
from ttsrl.codecs.tiny import TinyCodec

WINDOW_S = 3
MARKERS = [
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
]


def train(
    codec: TinyCodec, steps: int = 1_800, batch: int = 24
) -> tuple[WhisperForConditionalGeneration, WhisperTokenizer]:
    """Train on the policy's voice through the codec and on two voices of men.

    Beside the transcript the encoder learns which word each frame is in. Without that, attention
    takes far longer to find where the words are.
    """
    torch.manual_seed(1)
    noise = np.random.default_rng(1)
    tokenizer, extractor = new_tokenizer(), WhisperFeatureExtractor(chunk_length=WINDOW_S)
    model = new_model(tokenizer).train()
    word_of_frame = nn.Linear(model.config.d_model, 1 + len(WORDS))
    clips = Clips(codec, [("rms", 0.8), ("awb", 0.8)], seed=1)
    parameters = [*model.parameters(), *word_of_frame.parameters()]
    run = Training("whisper", parameters, steps, rate=1e-3, decay=0.01)
    for _ in run.steps():
        heard = [_augmented(clip, noise) for clip in clips.batch(batch)]
        waveforms = [clip.waveform for clip in heard]
        features = extractor(waveforms, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        tokens, targets = teacher_forced(tokenizer, [" ".join(clip.words) for clip in heard])
        out = model(features.input_features, decoder_input_ids=tokens)
        frames = word_of_frame(out.encoder_last_hidden_state)
        labels = frame_labels(heard, frames.shape[1])
        run.descend(
            transcript=F.cross_entropy(out.logits.transpose(1, 2), targets),
            frames=F.cross_entropy(frames.transpose(1, 2), labels),
        )
    return model.eval(), tokenizer


def teacher_forced(tokenizer: WhisperTokenizer, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Decoder inputs and their targets, [B, T] each; -100 is not a target."""
    tokenizer.set_prefix_tokens(language="en", task="transcribe", predict_timestamps=False)
    rows = [torch.tensor(tokenizer(f" {text}" if text else "").input_ids) for text in texts]
    padded = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-100)
    inputs, targets = padded[:, :-1], padded[:, 1:]
    return inputs.clamp_min(0), targets


def _augmented(clip: TrainingClip, rng: np.random.Generator) -> TrainingClip:
    """Shifted, at times faster or slower, at times in white noise."""
    clip = augment.gain(augment.shift(clip, rng), rng)
    if rng.random() < 0.3:
        clip = augment.speed(clip, rng)
    if rng.random() < 0.6:
        clip = augment.noise(clip, rng, colour=0.0)
    return clip


def new_tokenizer() -> WhisperTokenizer:
    """Byte-level BPE with each word of the domain one token; Whisper's markers in its order."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.train_from_iterator(
        [f" {word}" for word in WORDS],
        trainers.BpeTrainer(
            vocab_size=10_000,  # never reached: merging ends when each word is whole
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    learnt = json.loads(bpe.to_str())["model"]
    tokenizer = WhisperTokenizer(
        vocab=learnt["vocab"],
        merges=[tuple(pair) for pair in learnt["merges"]],
        pad_token="<|endoftext|>",
        model_max_length=448,
    )
    tokenizer.add_special_tokens({"additional_special_tokens": MARKERS})
    stamps = [f"<|{i * 0.02:.2f}|>" for i in range(WINDOW_S * 50 + 1)]
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=False) for t in stamps])
    return tokenizer


def new_model(tokenizer: WhisperTokenizer) -> WhisperForConditionalGeneration:
    """A Whisper with random weights and the settings of a multilingual one."""
    ids = tokenizer.get_vocab()
    end, start = ids["<|endoftext|>"], ids["<|startoftranscript|>"]
    size = 128
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=80,
        d_model=size,
        encoder_layers=3,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=4 * size,
        decoder_ffn_dim=4 * size,
        max_source_positions=WINDOW_S * 50,
        max_target_positions=448,
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        max_length=448,
        suppress_tokens=[],
        begin_suppress_tokens=[],
        is_multilingual=True,
        lang_to_id={"<|en|>": ids["<|en|>"]},
        task_to_id={"translate": ids["<|translate|>"], "transcribe": ids["<|transcribe|>"]},
        no_timestamps_token_id=ids["<|notimestamps|>"],
        alignment_heads=[[layer, head] for layer in range(2) for head in range(4)],
    )
    return model


def save(model: WhisperForConditionalGeneration, tokenizer: WhisperTokenizer, folder: Path) -> None:
    """Write the recogniser as a Hugging Face folder, its weights in float16."""
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(chunk_length=WINDOW_S).save_pretrained(folder)
