"""verl-omni's audio scorer, protocol version 1: a waveform and its text in, one score out.

Users of Qwen3-TTS in verl-omni name `http://HOST:PORT/score` as their `server_url`. The score is
the reward of this service's run, and 0 for gated speech. What could not be measured is an error,
never a score: their client repeats a request after 408, 429 and 5xx, and ends its run after other
errors.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
from typing import Annotated, Any

import bentoml
import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    RootModel,
    Tag,
    ValidationError,
)
from starlette.responses import JSONResponse, Response

from ttsrl.audio.io import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, check_samples
from ttsrl.audio.waveform import Waveform
from ttsrl.errors import BadInput, shorten
from ttsrl.serving.batcher import Full
from ttsrl.serving.compat.channel_io import TokensRequest, problem
from ttsrl.serving.recording import RecordedUtterance, recorded
from ttsrl.text.languages import language_of
from ttsrl.wire import Failed, Gated, Ok, Outcome

PROTOCOL_VERSION = "1"
NO_LANGUAGE = frozenset({"", "auto"})
"""What Qwen3-TTS is told where its user names no language."""
SAMPLE_BYTES = 4


class WaveformRequest(BaseModel):
    """Body of `POST /score` with a `protocol_version`."""

    model_config = ConfigDict(use_attribute_docstrings=True, strict=True)

    protocol_version: str
    waveform_f32_base64: str
    """Mono samples, little-endian float32, full scale is 1."""
    num_samples: int = Field(ge=0)
    sample_rate: int = Field(ge=LOWEST_RATE_HZ, le=HIGHEST_RATE_HZ)
    prompt: str = Field(min_length=1, max_length=10_000)
    """What should have been said."""
    metadata: dict[str, Any] = {}
    """Of these keys `language`, `style`, `speaker` and `label` are used, as of an utterance."""


def protocol_of(body: Any) -> str:
    """Whose body of `/score` it is: only verl-omni's has a `protocol_version`."""
    if isinstance(body, dict):
        return "waveform" if "protocol_version" in body else "tokens"
    return "waveform" if isinstance(body, WaveformRequest) else "tokens"


class OneUtterance(
    RootModel[
        Annotated[
            Annotated[TokensRequest, Tag("tokens")] | Annotated[WaveformRequest, Tag("waveform")],
            Discriminator(protocol_of),
        ]
    ]
):
    """Body of `POST /score`, which two protocols share.

    A model of its own, because BentoML answers 500 to a bare union that it cannot parse.
    """


async def measured(request: WaveformRequest) -> Response:
    """What the service makes of one waveform, as verl-omni's client knows it."""
    service = bentoml.get_current_service()
    try:
        utterance = await asyncio.to_thread(utterance_of, request, service.run.data.language)
        (outcome,) = await service.outcomes([utterance])
    except BadInput as error:
        return problem(400, str(error))
    except Full as error:
        return problem(429, str(error), error.headers)
    return answer(outcome, [c.type for c in service.run.reward.components])


def utterance_of(request: WaveformRequest, language: str) -> RecordedUtterance:
    """The request as an utterance; `language`: where its metadata name none. Raises BadInput."""
    if request.protocol_version != PROTOCOL_VERSION:
        raise BadInput(
            f"protocol_version is {shorten(request.protocol_version)}; this service speaks "
            f"{PROTOCOL_VERSION!r}"
        )
    told = {name: _words(request, name) for name in ("language", "style", "speaker", "label")}
    named = told.pop("language") or ""
    code = language if named.strip().lower() in NO_LANGUAGE else language_of(named)
    try:
        return recorded(
            _waveform(request), request.sample_rate, text=request.prompt, language=code, **told
        )
    except ValidationError as error:
        raise BadInput(f"prompt or metadata: {error.errors()[0]['msg']}") from None


def _waveform(request: WaveformRequest) -> Waveform:
    try:
        data = base64.b64decode(request.waveform_f32_base64, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"waveform_f32_base64 is not base64: {error}") from None
    if len(data) != SAMPLE_BYTES * request.num_samples:
        raise BadInput(
            f"num_samples is {request.num_samples} and waveform_f32_base64 has {len(data)} bytes, "
            f"which are {len(data) / SAMPLE_BYTES:g} samples"
        )
    waveform = np.frombuffer(data, dtype="<f4").astype(np.float32)
    check_samples(waveform)
    return waveform


def _words(request: WaveformRequest, name: str) -> str | None:
    value = request.metadata.get(name)
    if value is not None and not isinstance(value, str):
        raise BadInput(f"metadata.{name} is {shorten(value)}; give words, or leave it out")
    return value


def answer(outcome: Outcome, components: list[str]) -> Response:
    """The score and what led to it, or an error where nothing was measured.

    All answers have the same keys, and each key one type: verl averages them over a batch.
    """
    match outcome:
        case Failed(kind=kind, detail=detail):
            return problem(400 if kind == "rejected" else 500, f"{kind}: {detail}")
        case Ok():
            reason, utilities, raw, heard = "", outcome.utilities, outcome.raw, outcome.transcript
        case Gated():
            reason, utilities, raw, heard = outcome.reason, dict.fromkeys(components, 0.0), {}, None
    diagnostics = {
        "gated": float(isinstance(outcome, Gated)),
        "gate": reason,
        **{f"utility_{name}": float(value) for name, value in utilities.items()},
        "raw": json.dumps(raw),
        "transcript": heard or "",
        "duration_s": float(outcome.duration_s),
    }
    return JSONResponse({"score": float(outcome.reward), **diagnostics})
