"""openai-whisper's own model with the weights of a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from transformers import WhisperConfig
from whisper.model import ModelDimensions, Whisper

RENAMED = {
    "model.": "",
    "embed_tokens": "token_embedding",
    "embed_positions.weight": "positional_embedding",
    "layers.": "blocks.",
    "encoder_attn_layer_norm": "cross_attn_ln",
    "self_attn_layer_norm": "attn_ln",
    "final_layer_norm": "mlp_ln",
    "encoder.layer_norm": "encoder.ln_post",
    "decoder.layer_norm": "decoder.ln",
    "encoder_attn": "cross_attn",
    "self_attn": "attn",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    "out_proj": "out",
    "fc1": "mlp.0",
    "fc2": "mlp.2",
}
"""transformers' names and openai-whisper's; longer ones first."""


def openai_whisper(folder: Path) -> Whisper:
    """In float32, as `whisper.load_model` gives it on a CPU."""
    config = WhisperConfig.from_pretrained(folder)
    model = Whisper(
        ModelDimensions(
            n_mels=config.num_mel_bins,
            n_audio_ctx=config.max_source_positions,
            n_audio_state=config.d_model,
            n_audio_head=config.encoder_attention_heads,
            n_audio_layer=config.encoder_layers,
            n_vocab=config.vocab_size,
            n_text_ctx=config.max_target_positions,
            n_text_state=config.d_model,
            n_text_head=config.decoder_attention_heads,
            n_text_layer=config.decoder_layers,
        )
    )
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({_name(name): weight for name, weight in weights.items()})
    return model.eval()


def _name(name: str) -> str:
    for ours, theirs in RENAMED.items():
        name = name.replace(ours, theirs)
    return name
