"""The scoring server of CosyVoice's GRPO recipe: KServe v2 over HTTP, model token2wav_asr.

A client gives the URL of this service in place of PyTriton's. Tensors travel as JSON or in the
binary extension (https://github.com/kserve/open-inference-protocol). Rows of unequal lengths are
padded by the client, as TOKEN_LENS says, and not by us: their padding is never measured. REWARDS
are this run's; gated speech has reward 0, and a request with a row that could not be measured is an
error that names the row.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import bentoml
import numpy as np
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ttsrl.serving.batcher import Full
from ttsrl.serving.compat.kserve_tensors import (
    INPUTS,
    JSON_LENGTH,
    MODEL,
    OUTPUTS,
    BadRequest,
    Tensor,
    pack,
    read_request,
    wanted_outputs,
)
from ttsrl.wire import MAX_UTTERANCES, Failed, Gated, Ok, Outcome, Utterance

MODEL_VERSION = "1"
BASE = f"/v2/models/{MODEL}"
INFER_ROUTES = frozenset({f"{BASE}/infer", f"{BASE}/versions/{MODEL_VERSION}/infer"})
JSON_MEDIA, BINARY_MEDIA = "application/json", "application/octet-stream"


async def infer(request: Request) -> Response:
    """Rows of speech tokens and texts -> rewards and transcripts."""
    service = bentoml.get_current_service()
    try:
        header, tensors = read_request(await request.body(), request.headers.get(JSON_LENGTH))
        utterances = rows(tensors, service.run.data.language)
        names, binary = wanted_outputs(header)
    except BadRequest as error:
        return problem(400, str(error))
    try:
        outcomes: list[Outcome] = await service.outcomes(utterances)
    except Full as error:
        return problem(429, str(error), error.headers)
    for row, outcome in enumerate(outcomes):
        if isinstance(outcome, Failed):
            status = 400 if outcome.kind == "rejected" else 500
            return problem(status, f"row {row}: {outcome.kind}: {outcome.detail}")
    values = {
        "REWARDS": [o.reward for o in outcomes if isinstance(o, Ok | Gated)],
        "TRANSCRIPTS": [(o.transcript or "") if isinstance(o, Ok) else "" for o in outcomes],
    }
    return answer(header.get("id"), {name: values[name] for name in names}, binary)


def rows(tensors: dict[str, Tensor], language: str) -> list[Utterance]:
    """An utterance a row. Raises BadRequest."""
    shape = tensors["TOKENS"].shape
    if len(shape) != 2 or not 1 <= shape[0] <= MAX_UTTERANCES:
        raise BadRequest(f"TOKENS has shape {shape}: it is [rows, tokens], 1-{MAX_UTTERANCES} rows")
    count, width = shape
    for name in ("TOKEN_LENS", "GT_TEXT"):
        # CosyVoice's client sends [1, 1]; [rows] is the same without the axis.
        if tensors[name].shape not in ([count, 1], [count]):
            raise BadRequest(f"{name} has shape {tensors[name].shape}: it is [{count}, 1]")
    tokens = np.asarray(tensors["TOKENS"].elements, dtype=np.int32).reshape(count, width)
    utterances: list[Utterance] = []
    for row in range(count):
        length, text = int(tensors["TOKEN_LENS"].elements[row]), tensors["GT_TEXT"].elements[row]
        if not 0 <= length <= width:
            raise BadRequest(f"TOKEN_LENS of row {row} is {length}, of {width} tokens")
        try:
            speech_tokens = tokens[row, :length].tolist()
            utterances.append(Utterance(text=text, speech_tokens=speech_tokens, language=language))
        except ValidationError as error:
            raise BadRequest(f"row {row}: {error.errors()[0]['msg']}") from None
    return utterances


def answer(request_id: object, values: dict[str, list[Any]], binary: set[str]) -> Response:
    """The outputs as JSON, those in `binary` as bytes after it."""
    described: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, elements in values.items():
        output: dict[str, Any] = {
            "name": name,
            "datatype": OUTPUTS[name][0],
            "shape": [len(elements), 1],
        }
        if name in binary:
            parts.append(pack(name, elements))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            output["data"] = elements
        described.append(output)
    header = {"model_name": MODEL, "model_version": MODEL_VERSION, "outputs": described}
    if isinstance(request_id, str):
        header["id"] = request_id
    if not parts:
        return JSONResponse(header)
    json_part = json.dumps(header).encode()
    return Response(
        b"".join([json_part, *parts]),
        headers={JSON_LENGTH: str(len(json_part))},
        media_type=BINARY_MEDIA,
    )


async def live(_: Request) -> Response:
    """The process serves."""
    return Response()


async def ready(_: Request) -> Response:
    """Whether inference would be answered now."""
    reason = bentoml.get_current_service().unready()
    return problem(503, reason) if reason else Response()


async def server_metadata(_: Request) -> Response:
    """Who this is."""
    extensions = ["binary_tensor_data", "model_configuration"]
    return JSONResponse({"name": "ttsrl", "version": version("ttsrl"), "extensions": extensions})


async def model_metadata(_: Request) -> Response:
    """Tensors of the model, their rows as a leading -1."""
    inputs, outputs = (
        [{"name": n, "datatype": t, "shape": [-1, *row]} for n, (t, _, row) in tensors.items()]
        for tensors in (INPUTS, OUTPUTS)
    )
    metadata = {"name": MODEL, "versions": [MODEL_VERSION], "platform": "ttsrl"}
    return JSONResponse({**metadata, "inputs": inputs, "outputs": outputs})


async def model_config(_: Request) -> Response:
    """Triton's extension: what PyTriton's client reads to know how many rows it may send."""
    inputs, outputs = (
        [{"name": n, "data_type": t, "dims": row} for n, (_, t, row) in tensors.items()]
        for tensors in (INPUTS, OUTPUTS)
    )
    config = {"name": MODEL, "platform": "ttsrl", "max_batch_size": MAX_UTTERANCES}
    return JSONResponse({**config, "input": inputs, "output": outputs})


async def unknown(request: Request) -> Response:
    """Any other model or version."""
    return problem(404, f"{request.url.path}: this server has the model {MODEL!r}, version 1")


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """An error in KServe's form."""
    return JSONResponse({"error": detail}, status, headers)


def routes() -> list[Route]:
    """Everything below /v2."""
    versioned = f"{BASE}/versions/{MODEL_VERSION}"
    return [
        Route("/v2", server_metadata),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        *(Route(path, infer, methods=["POST"]) for path in sorted(INFER_ROUTES)),
        *(Route(path, model_metadata) for path in (BASE, versioned)),
        *(Route(f"{path}/ready", ready) for path in (BASE, versioned)),
        *(Route(f"{path}/config", model_config) for path in (BASE, versioned)),
        Route("/v2/{rest:path}", unknown, methods=["GET", "POST"]),
    ]
