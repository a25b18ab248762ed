"""Moonshine tiny from the package moonshine-voice: 8-bit ONNX networks, on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput
from ttsrl.runtime.machine import cores
from ttsrl.scorers.moonshine_input import ENGLISH, LONGEST_S, PACKAGE, most_tokens, prepared

START, END = 1, 2
SPECIAL = b"<<ST_"
"""How the vocabulary's unused tokens begin."""
SPACE = "▁"


class PackagedMoonshine:
    """The package's encoder and decoder, without its voice detector.

    One waveform at a time: activations are rounded to 8 bits by the largest of a batch, so that
    company would change a transcript. Waveforms share the cores instead.
    """

    max_duration_s = LONGEST_S
    languages = frozenset([ENGLISH])

    def __init__(self, folder: str) -> None:
        """Raises BadInput."""
        here = Path(folder)
        self._encoder = _session(here / "encoder_model.ort")
        self._decoder = _session(here / "decoder_model_merged.ort")
        self._vocabulary = list(_pieces(_part(here / "tokenizer.bin").read_bytes()))
        inputs = {one.name: one.shape for one in self._decoder.get_inputs()}
        self._past = {
            name: np.zeros((1, shape[1], 0, shape[3]), np.float32)
            for name, shape in inputs.items()
            if name.startswith("past_key_values.")
        }
        outputs = [one.name for one in self._decoder.get_outputs()]
        self._becomes = [name.replace("present.", "past_key_values.") for name in outputs[1:]]
        self._pool = ThreadPoolExecutor(int(cores()), "moonshine")

    def transcribe(
        self, waveforms: Sequence[Waveform], sample_rate_hz: int, languages: Sequence[str]
    ) -> list[str]:
        """Greedy transcripts. Raises BadInput for a language other than English."""
        for language in languages:
            if language != ENGLISH:
                raise BadInput(
                    f"the Moonshine of {PACKAGE} hears English alone, and a text is in "
                    f"{language!r}; use another recogniser for it"
                )
        heard = [prepared(waveform, sample_rate_hz) for waveform in waveforms]
        return list(self._pool.map(self._transcript, heard))

    def _transcript(self, heard: Waveform) -> str:
        samples = {
            "input_values": heard[None].astype(np.float32),
            "attention_mask": np.ones((1, len(heard)), np.int64),
        }
        (states,) = self._encoder.run(None, samples)
        always = {
            "encoder_attention_mask": samples["attention_mask"],
            "encoder_hidden_states": states,
        }
        past, written = dict(self._past), [START]
        while len(written) < most_tokens(heard):
            continues = len(written) > 1
            token = {
                "input_ids": np.array([written[-1:]]),
                "use_cache_branch": np.array([continues]),
            }
            logits, *present = self._decoder.run(None, {**always, **past, **token})
            past |= {
                name: value
                for name, value in zip(self._becomes, present, strict=True)
                # those of the waveform are there after the first token
                if not (continues and ".encoder." in name)
            }
            written.append(int(logits[0, -1].argmax()))
            if written[-1] == END:
                break
        pieces = [self._vocabulary[n] for n in written if n > END]
        said = b"".join(piece for piece in pieces if not piece.startswith(SPECIAL))
        return said.decode(errors="replace").replace(SPACE, " ").strip()


def _session(network: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(_part(network)), options, providers=["CPUExecutionProvider"]
    )


def _part(file: Path) -> Path:
    if not file.is_file():
        raise BadInput(
            f"{file} is missing: later releases of moonshine-voice download their models; install "
            "the extra 'moonshine', which has the last release with weights in it"
        )
    return file


def _pieces(data: bytes) -> Iterator[bytes]:
    """The vocabulary in the order of its ids: a length of one byte or two, and so many bytes."""
    at = 0
    while at < len(data):
        size, at = data[at], at + 1
        if size >= 128:
            size, at = size - 128 + 128 * data[at], at + 1
        yield data[at : at + size]
        at += size
