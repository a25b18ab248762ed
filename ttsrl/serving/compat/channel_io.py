"""The Whisper server of channel-io/ch-tts-llasa-rl-grpo: NLL and transcript, no reward.

Its clients keep their URL. `/score` takes speech tokens; `/score_wav`, which its text promises,
takes a WAV file as the body and the text as the query: POST /score_wav?text=Hello. What has no
measurement, gated speech too, is a 500 with the reason, as there.
"""

from __future__ import annotations

import asyncio

import bentoml
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ttsrl.errors import BadInput
from ttsrl.serving.batcher import Full
from ttsrl.serving.recording import read_recording
from ttsrl.wire import Failed, Gated, Ok, Outcome, Utterance


class TokensRequest(BaseModel):
    """Body of `POST /score`."""

    tokens: list[int] = Field(max_length=65_536)
    text: str = Field(min_length=1, max_length=10_000)


class NllResponse(BaseModel):
    """Answer of `POST /score` and `POST /score_wav`."""

    nll: float
    transcript: str


async def score_wav(request: Request) -> Response:
    """An audio file and its text -> NLL and transcript."""
    service = bentoml.get_current_service()
    text = request.query_params.get("text", "")
    language = request.query_params.get("language", service.run.data.language)
    try:
        recording = await asyncio.to_thread(read_recording, await request.body(), text, language)
    except ValidationError as error:
        return problem(400, f"query parameter text: {error.errors()[0]['msg']}")
    except BadInput as error:
        return problem(400, str(error))
    return await measured(recording)


async def measured(utterance: Utterance) -> Response:
    """What the service makes of one utterance, as its clients know it."""
    try:
        (outcome,) = await bentoml.get_current_service().outcomes([utterance])
    except Full as error:
        return problem(429, str(error), error.headers)
    return answer(outcome)


def answer(outcome: Outcome) -> Response:
    """The measurement, or a 500 with the reason why there is none."""
    match outcome:
        case Ok(raw={"nll": nll}, transcript=transcript):
            return JSONResponse({"nll": nll, "transcript": transcript})
        case Ok():
            return problem(500, "this reward does not listen with Whisper: it has no NLL")
        case Gated(reason=reason, detail=detail):
            return problem(500, f"gated, {reason}: {detail}")
        case Failed(kind="rejected", detail=detail):
            return problem(400, f"rejected: {detail}")
        case Failed(kind=kind, detail=detail):
            return problem(500, f"{kind}: {detail}")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error in FastAPI's form."""
    return JSONResponse({"detail": detail}, status, headers)


def routes() -> list[Route]:
    """Those that are no BentoML API, because their body is not JSON."""
    return [Route("/score_wav", score_wav, methods=["POST"])]
