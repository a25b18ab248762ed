"""XCodec2 (Llasa's codec, arXiv 2502.04128): 65 536 codes, 50 tokens/s, 16 kHz.

Through transformers' own class, with weights in its format such as HKUSTAudio/xcodec2-hf, or in
that of the authors, HKUSTAudio/xcodec2. The class came with transformers 5.23, later than verl
0.9.1 allows: the reward service and the evaluation of a Llasa run in an environment with the extra
`xcodec2`, the trainer needs no codec.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.base import Precision, check_tokens
from ttsrl.codecs.precision import multiplying
from ttsrl.codecs.xcodec2_decoder import MaskedDecoder
from ttsrl.codecs.xcodec2_published import converted, is_published_form, sizes_of
from ttsrl.errors import BadInput
from ttsrl.models.hub import load_model, names_of_weights, read_weights

TOKENS_AT_ONCE = 16_384
"""Tokens, padding included, of one pass: 5 minutes of speech."""


class XCodec2:
    """XCodec2's decoder; see `ttsrl.codecs.base.Codec`."""

    model_class = "Xcodec2Model"
    """Of transformers."""
    rate_key = "sampling_rate"
    """Where its configuration has the rate of the waveform."""

    def __init__(self, path: str, device: str = "cpu", precision: Precision = "float32") -> None:
        """`precision`: what a GPU multiplies in; weights and sums stay in float32."""
        model = load_xcodec2(path, self.model_class)
        for part in (model.quantizer, model.acoustic_decoder):  # the encoder stays where it is
            part.to(device)
        self.device = torch.device(device)
        self.precision: Precision = precision
        # float16 keeps as many bits as TF32, and attention has fast kernels for it alone
        rounded = self.device.type == "cuda" and precision == "tfloat32"
        self.decoder = MaskedDecoder(model, torch.float16 if rounded else None)
        levels = model.config.quantization_levels
        self.codebook_size = int(torch.tensor(levels).prod())
        self.sample_rate_hz = int(getattr(model.config, self.rate_key))
        self.tokens_per_s = self.sample_rate_hz / model.config.hop_length

    @torch.inference_mode()
    def decode(self, tokens_B: Sequence[Sequence[int]]) -> list[Waveform]:
        """Decode utterances of any lengths >= 1; ValueError for tokens outside the codebook.

        Equal utterances are decoded once.
        """
        for tokens in tokens_B:
            check_tokens(tokens, self.codebook_size)
        distinct = sorted({tuple(tokens) for tokens in tokens_B}, key=lambda t: (len(t), t))
        with multiplying(self.device, self.precision):
            batches = [(batch, self._launch(batch)) for batch in _batches(distinct)]
        waveforms: dict[tuple[int, ...], Waveform] = {}
        for batch, (samples_BS, arrived) in batches:
            if arrived is not None:
                arrived.synchronize()
            for tokens, samples in zip(batch, samples_BS.numpy(), strict=True):
                waveforms[tokens] = samples[: self.decoder.hop * len(tokens)].copy()
        return [waveforms[tuple(tokens)] for tokens in tokens_B]

    def _launch(self, batch: list[tuple[int, ...]]) -> tuple[torch.Tensor, torch.cuda.Event | None]:
        """Samples [B, S] on the CPU, and when a GPU will have filled them."""
        lengths_B = torch.tensor([len(tokens) for tokens in batch])
        codes_BT = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(tokens) for tokens in batch], batch_first=True
        )
        samples = self.decoder(codes_BT.to(self.device), lengths_B.to(self.device)).clamp(-1.0, 1.0)
        if self.device.type != "cuda":
            return samples, None
        arriving = torch.empty(samples.shape, pin_memory=True)
        arriving.copy_(samples, non_blocking=True)
        arrived = torch.cuda.Event()
        arrived.record()
        return arriving, arrived


def load_xcodec2(path: str, name: str = XCodec2.model_class) -> Any:
    """transformers' own class with the weights of a folder, in its format or as the authors
    published them. Raises BadInput."""
    model_class: Any = getattr(transformers, name, None)
    if model_class is None:
        raise BadInput(
            f"codec {path!r} is of the class {name}, which transformers "
            f"{transformers.__version__} does not have; use an environment made with "
            "`uv sync --extra reward --extra xcodec2`"
        )
    folder = Path(path)
    if not is_published_form(names_of_weights(folder)):
        return load_model(model_class, folder)
    weights = converted(read_weights(folder))
    try:
        sizes = sizes_of(weights)
    except KeyError as error:
        raise BadInput(
            f"the codec at {path} is not a whole XCodec2: it has no {error.args[0]}; copy it again"
        ) from None
    config = model_class.config_class(**sizes)
    return load_model(model_class, folder, config=config, state_dict=weights)


def _batches(by_length: list[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """Neighbours in length, as many as `TOKENS_AT_ONCE` holds."""
    batch: list[tuple[int, ...]] = []
    for tokens in by_length:
        if batch and len(tokens) * (len(batch) + 1) > TOKENS_AT_ONCE:
            yield batch
            batch = []
        batch.append(tokens)
    if batch:
        yield batch
