"""Audio classifiers in their published formats, tiny and with made-up weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    HubertConfig,
    HubertForSequenceClassification,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForSequenceClassification,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    WavLMConfig,
    WavLMForSequenceClassification,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
)

LABELS = ["angry", "Happy", "neutral", "sad"]
KINDS = ("wav2vec2", "hubert", "wavlm", "w2v-bert", "ast", "whisper")

_SMALL: dict[str, Any] = dict(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
)
_CONVOLUTIONS: dict[str, Any] = dict(
    conv_dim=(8,) * 7,
    num_conv_pos_embeddings=16,
    num_conv_pos_embedding_groups=2,
    classifier_proj_size=8,
)


def save_tiny_classifier(
    folder: Path, kind: str = "wav2vec2", labels: list[str] = LABELS, **config: Any
) -> Path:
    """Of one of `KINDS`; what it hears is neither silence nor the same in all recordings."""
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(labels)), "label2id": {n: k for k, n in enumerate(labels)}}
    model, features = _make(kind, names | config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.3)
    model.save_pretrained(folder)
    features.save_pretrained(folder)
    return folder


def _make(kind: str, config: dict[str, Any]) -> tuple[Any, Any]:
    speech = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    match kind:
        case "wav2vec2":
            made = Wav2Vec2Config(**_SMALL, **_CONVOLUTIONS, **config)
            return Wav2Vec2ForSequenceClassification(made), speech
        case "hubert":
            made = HubertConfig(**_SMALL, **_CONVOLUTIONS, **config)
            return HubertForSequenceClassification(made), speech
        case "wavlm":
            made = WavLMConfig(**_SMALL, **_CONVOLUTIONS, **config)
            return WavLMForSequenceClassification(made), speech
        case "w2v-bert":
            made = Wav2Vec2BertConfig(**_SMALL, feature_projection_input_dim=160, **config)
            return Wav2Vec2BertForSequenceClassification(made), SeamlessM4TFeatureExtractor()
        case "ast":
            made = ASTConfig(**_SMALL, max_length=128, **config)
            return ASTForAudioClassification(made), ASTFeatureExtractor(max_length=128)
        case _:
            size = dict(d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2)
            size |= dict(decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32)
            size |= dict(max_source_positions=100)
            made = WhisperConfig(**size, classifier_proj_size=8, **config)
            return WhisperForAudioClassification(made), WhisperFeatureExtractor(chunk_length=2)
