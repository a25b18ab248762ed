"""The one voice in which a codec speaks: from a recording, or by name from spk2info.pt.

As CosyVoice's frontend makes it (cosyvoice/cli/frontend.py): the recording's speech tokens and mel,
which the speech continues, and its CAM++ embedding.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ttsrl.audio.voice_prompt import LONGEST_S, SHORTEST_S, read_voice
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.cosyvoice2_network import MELS, SAMPLE_RATE_HZ, SPEAKER_WIDTH, mel_spectrogram
from ttsrl.codecs.s3_tokenizer import S3Tokenizer, tokenizer_file
from ttsrl.errors import BadInput, did_you_mean, reason_of
from ttsrl.storage.atomic import replace_file

CAMPPLUS, SPEAKERS = "campplus.onnx", "spk2info.pt"
CACHE = Path("~/.cache/ttsrl/voices")
VERSION = 1
"""Raise it whenever this file makes another voice of the same recording."""


@dataclass(frozen=True)
class CodecVoice:
    """What the codec is told about a voice; T tokens are 2 T frames."""

    tokens: Tensor
    """[1, T], int64"""
    mel: Tensor
    """[1, 2 T, MELS]"""
    embedding: Tensor
    """[1, SPEAKER_WIDTH]"""


def load_voice(codec: Path, voice: str | None) -> CodecVoice:
    """The voice of a recording, made once and then kept in CACHE, or a speaker. Raises BadInput."""
    if voice is None:
        raise BadInput(
            f"the codec at {codec} speaks in the voice of a recording, and none is given; set "
            f"`voice` to a WAV file of {SHORTEST_S:g} to {LONGEST_S:g} s, or to the name of a "
            f"speaker in {SPEAKERS}"
        )
    if not Path(voice).is_file():
        return _speaker(codec, voice)
    kept = CACHE.expanduser() / f"{voice_digest(codec, voice)}.pt"
    if kept.is_file():
        return CodecVoice(**torch.load(kept, weights_only=True))
    made = make_voice(codec, *read_voice(Path(voice)))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(kept) as temporary:
        torch.save(vars(made), temporary)
    return made


def voice_digest(codec: Path, voice: str) -> str:
    """SHA-256 of all that decides the voice: the recording and two models, or the speaker."""
    digest = hashlib.sha256(f"{VERSION}\0".encode())
    if Path(voice).is_file():
        files = [Path(voice), tokenizer_file(codec), codec / CAMPPLUS]
    else:
        digest.update(voice.encode())
        files = [codec / SPEAKERS]
    for file in files:
        if file.is_file():
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


@torch.inference_mode()
def make_voice(codec: Path, waveform: Waveform, sample_rate_hz: int) -> CodecVoice:
    """Tokens, mel and embedding of a recording [T], by the codec folder's own models."""
    from torchaudio.compliance.kaldi import fbank
    from torchaudio.functional import resample

    def at(rate_hz: int) -> Tensor:
        return resample(torch.from_numpy(waveform), sample_rate_hz, rate_hz)

    speech_16k = at(16_000)
    [tokens] = _tokenizer(codec).encode([speech_16k.numpy()])
    mel = mel_spectrogram(at(SAMPLE_RATE_HZ))
    count = min(len(mel) // 2, len(tokens))
    features = fbank(speech_16k[None], num_mel_bins=80, dither=0, sample_frequency=16_000)
    features = features - features.mean(0, keepdim=True)
    embedding = _campplus(codec)(features[None].numpy())
    return _checked(
        CodecVoice(
            torch.tensor([tokens[:count]]),
            mel[None, : 2 * count],
            torch.from_numpy(np.asarray(embedding, np.float32).reshape(1, -1)),
        ),
        codec / CAMPPLUS,
    )


@lru_cache(maxsize=1)
def _tokenizer(codec: Path) -> S3Tokenizer:
    return S3Tokenizer(codec)


@lru_cache(maxsize=1)
def _campplus(codec: Path) -> Callable[[NDArray[np.float32]], Any]:
    """Filter banks [1, T, 80] -> speaker embedding. Raises BadInput for a file that is none."""
    import onnxruntime

    try:
        session: Any = onnxruntime.InferenceSession(
            str(codec / CAMPPLUS), providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name
    except Exception as error:  # onnxruntime's own errors have no common class
        raise BadInput(
            f"{codec / CAMPPLUS} cannot be used: {reason_of(error)}; copy it again"
        ) from error
    return lambda features_1TM: session.run(None, {name: features_1TM})[0]


def _speaker(codec: Path, name: str) -> CodecVoice:
    """A speaker that CosyVoice has saved: with its prompt, or as an embedding alone."""
    file = codec / SPEAKERS
    if not file.is_file():
        raise BadInput(
            f"no voice {name!r}: there is no such file, and no {SPEAKERS} in {codec} that could "
            "name a speaker; give a recording"
        )
    try:
        speakers: dict[str, dict[str, Tensor]] = torch.load(
            file, map_location="cpu", weights_only=True
        )
        known = list(speakers)
    except Exception as error:  # pickle's, zip's and torch's own
        raise BadInput(f"{file} cannot be read: {reason_of(error)}; copy it again") from error
    if name not in speakers:
        raise BadInput(
            f"no voice {name!r}: there is no such file, and {file} knows "
            f"{', '.join(known) or 'no voice'}{did_you_mean(name, known)}"
        )
    saved = speakers[name]
    embedding = saved.get("flow_embedding", saved.get("embedding"))
    if embedding is None:
        raise BadInput(f"the speaker {name!r} in {file} has no embedding; save it again")
    empty = torch.zeros(1, 0, dtype=torch.long)
    return _checked(
        CodecVoice(
            saved.get("flow_prompt_speech_token", empty).long(),
            saved.get("prompt_speech_feat", torch.zeros(1, 0, MELS)).float(),
            embedding.float().reshape(1, -1),
        ),
        file,
    )


def _checked(voice: CodecVoice, file: Path) -> CodecVoice:
    count = voice.tokens.shape[1]
    if voice.embedding.shape[1] != SPEAKER_WIDTH or voice.mel.shape != (1, 2 * count, MELS):
        raise BadInput(
            f"{file} gives a voice of {voice.embedding.shape[1]} numbers, {count} tokens and "
            f"{voice.mel.shape[1]} frames; CosyVoice2 takes {SPEAKER_WIDTH} numbers and two frames "
            "a token"
        )
    return voice
