"""CosyVoice2's flow matching and HiFT vocoder: the network of the PyPI package chatterbox-tts.

Of the package only the network's modules are imported, under a name of our own: its `__init__`
wants watermarking, a text frontend and more. Shapes are those of CosyVoice's cosyvoice2.yaml, whose
state dicts fit without a key too many or too few. The harmonic source is written here, for two
reasons: at 24 kHz CosyVoice uses another one than chatterbox has kept (SineGen2 in
cosyvoice/hifigan/generator.py), and its noise must come from the utterance.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from ttsrl.errors import BadInput
from ttsrl.models.hub import fill

SAMPLE_RATE_HZ = 24_000
HOP = 480
"""Samples of a frame; a token has two frames."""
MELS = 80
CODEBOOK_SIZE = 6561
SPEAKER_WIDTH = 192
FRAMES = 15_000
"""Of the start noise: 300 s, prompt included."""
HARMONICS, VOICED_HZ, SINE, VOICED_NOISE = 9, 10.0, 0.1, 0.003
ALIAS = "ttsrl_chatterbox_models"


def make_flow(encoder_blocks: int = 6, mid_blocks: int = 12, transformers: int = 4) -> Any:
    """Tokens, prompt and speaker -> mel, with random weights; the defaults are CosyVoice2's."""
    for name in ("s3gen.transformer.upsample_encoder", "s3gen.decoder"):
        _module(name).add_optional_chunk_mask = _mask_as_it_is
    encoder = _module("s3gen.transformer.upsample_encoder").UpsampleConformerEncoder(
        output_size=512,
        attention_heads=8,
        linear_units=2048,
        num_blocks=encoder_blocks,
        dropout_rate=0.1,
        positional_dropout_rate=0.1,
        attention_dropout_rate=0.1,
        normalize_before=True,
        input_layer="linear",
        pos_enc_layer_type="rel_pos_espnet",
        selfattention_layer_type="rel_selfattn",
        input_size=512,
        use_cnn_module=False,
        macaron_style=False,
    )
    with warnings.catch_warnings():  # of diffusers, about a class that goes with its version 1
        warnings.simplefilter("ignore", FutureWarning)
        estimator = _module("s3gen.decoder").ConditionalDecoder(
            in_channels=320,
            out_channels=MELS,
            causal=True,
            channels=[256],
            dropout=0.0,
            attention_head_dim=64,
            n_blocks=transformers,
            num_mid_blocks=mid_blocks,
            num_heads=8,
            act_fn="gelu",
        )
    decoder = _module("s3gen.flow_matching").CausalConditionalCFM(
        spk_emb_dim=MELS, estimator=estimator
    )
    flow = _module("s3gen.flow").CausalMaskedDiffWithXvec(encoder=encoder, decoder=decoder)
    return flow.eval()


def _mask_as_it_is(_: Tensor, mask: Tensor, *_chunks: object) -> Tensor:
    """What chatterbox makes of a mask without chunks, but for a look that a GPU has to stop for."""
    return mask


def make_hift(channels: int = 512, pitch_channels: int = 512) -> Any:
    """Mel -> waveform, with random weights; the defaults are CosyVoice2's."""
    vocoder = _module("s3gen.hifigan").HiFTGenerator(
        base_channels=channels,
        sampling_rate=SAMPLE_RATE_HZ,
        upsample_rates=[8, 5, 3],
        upsample_kernel_sizes=[16, 11, 7],
        source_resblock_kernel_sizes=[7, 7, 11],
        source_resblock_dilation_sizes=[[1, 3, 5]] * 3,
        f0_predictor=_module("s3gen.f0_predictor").ConvRNNF0Predictor(cond_channels=pitch_channels),
    )
    return vocoder.eval()


def flow_of(state: Mapping[str, Tensor], source: Path) -> Any:
    """The flow that a state dict is of. Raises BadInput for another network's."""
    middle = "decoder.estimator.mid_blocks"
    flow = make_flow(
        count_parts(state, "encoder.encoders"),
        count_parts(state, middle),
        count_parts(state, f"{middle}.0.1"),
    )
    fill(flow, state, source)
    return flow


def hift_of(state: Mapping[str, Tensor], source: Path) -> Any:
    """The vocoder that a state dict is of. Raises BadInput, KeyError for another network's."""
    return without_norms(make_hift, state, source)


def without_norms(
    make: Callable[[int, int], Any], state: Mapping[str, Tensor], source: Path
) -> Any:
    """A vocoder with its weights, whose norms are taken once and not at every call.

    `make` takes the channels of the vocoder and of its pitch.
    """
    state = {_norm_as_parametrized(name): tensor for name, tensor in state.items()}
    weight = "parametrizations.weight.original1"
    hift = make(
        state[f"conv_pre.{weight}"].shape[0], state[f"f0_predictor.condnet.0.{weight}"].shape[0]
    )
    fill(hift, state, source)
    for module in hift.modules():
        if is_parametrized(module, "weight"):
            remove_parametrizations(module, "weight")
    return hift


def _norm_as_parametrized(name: str) -> str:
    """Name of a weight in torch's newer form of weight norm; older files have weight_g, weight_v.

    The parts mean the same: magnitude and direction.
    """
    name = re.sub(r"\.weight_g$", ".parametrizations.weight.original0", name)
    return re.sub(r"\.weight_v$", ".parametrizations.weight.original1", name)


def count_parts(state: Mapping[str, Tensor], modules: str) -> int:
    """How many numbered parts a list of modules has."""
    depth = modules.count(".") + 1
    return len({key.split(".")[depth] for key in state if key.startswith(f"{modules}.")})


def mel_spectrogram(waveform: Tensor) -> Tensor:
    """Matcha-TTS's log-mel of 24 kHz speech [T] -> [frames, MELS]."""
    return _module("s3gen.utils.mel").mel_spectrogram(waveform)[0].T


def start_noise() -> Tensor:
    """[1, MELS, FRAMES]: the one from which CosyVoice2 starts whatever it says."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, MELS, FRAMES, generator=generator)


def harmonics(f0_BT: Tensor, noise_BSH: Tensor) -> Tensor:
    """Sines at multiples of the pitch [Hz] where there is one, and noise: [B, T * HOP, HARMONICS].

    The phase is summed up frame by frame, in float64, and goes linearly from the middle of one
    frame to the next.
    """
    multiples_H = torch.arange(1, HARMONICS + 1, device=f0_BT.device)
    turns_BHT = f0_BT.double()[:, None] * multiples_H[:, None] / SAMPLE_RATE_HZ % 1
    phase_BHT = 2 * torch.pi * turns_BHT.cumsum(-1) * HOP
    phase_BHS = F.interpolate(phase_BHT, scale_factor=float(HOP), mode="linear")
    voiced_BS1 = (f0_BT > VOICED_HZ).repeat_interleave(HOP, -1)[..., None].to(noise_BSH.dtype)
    sines_BSH = SINE * phase_BHS.sin().transpose(1, 2).to(noise_BSH.dtype)
    noise_level_BS1 = voiced_BS1 * VOICED_NOISE + (1 - voiced_BS1) * SINE / 3
    return sines_BSH * voiced_BS1 + noise_level_BS1 * noise_BSH


def _module(name: str) -> Any:
    """A module of chatterbox.models, its packages bare of what they import themselves."""
    if ALIAS not in sys.modules:
        spec = find_spec("chatterbox")
        if spec is None or not spec.submodule_search_locations:
            raise BadInput(
                "CosyVoice2's codec needs the package chatterbox-tts; use an environment made with "
                "`uv sync --extra cosyvoice`"
            )
        models = Path(next(iter(spec.submodule_search_locations))) / "models"
        for package, folder in ((ALIAS, models), (f"{ALIAS}.s3gen", models / "s3gen")):
            module = ModuleType(package)
            module.__path__ = [str(folder)]
            sys.modules[package] = module
    return import_module(f"{ALIAS}.{name}")
