"""Tensors of KServe v2, as JSON or in Triton's binary extension: what the model takes and gives.

Bytes come from the network: whatever is wrong with them is a BadRequest that says what.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MODEL = "token2wav_asr"
JSON_LENGTH = "Inference-Header-Content-Length"

# name -> (KServe's data type, its name in Triton's configuration, shape of a row)
INPUTS = {
    "TOKENS": ("INT32", "TYPE_INT32", [-1]),
    "TOKEN_LENS": ("INT32", "TYPE_INT32", [1]),
    "GT_TEXT": ("BYTES", "TYPE_STRING", [1]),
}
OUTPUTS = {
    "REWARDS": ("FP32", "TYPE_FP32", [1]),
    "TRANSCRIPTS": ("BYTES", "TYPE_STRING", [1]),
}


class BadRequest(ValueError):
    """The request breaks the protocol, or has no utterances of this model in it."""


@dataclass(frozen=True)
class Tensor:
    """An input as it came: its elements in row-major order."""

    shape: list[int]
    elements: Sequence[Any]


def read_request(body: bytes, json_length: str | None) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON header and the model's input tensors. Raises BadRequest."""
    if json_length is None:
        json_bytes = len(body)
    elif json_length.isdecimal() and int(json_length) <= len(body):
        json_bytes = int(json_length)
    else:
        raise BadRequest(f"{JSON_LENGTH} is {json_length!r} and the body has {len(body)} bytes")
    try:
        header = json.loads(body[:json_bytes])
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body does not begin with a JSON header: {error}") from None
    inputs = header.get("inputs") if isinstance(header, dict) else None
    if not isinstance(inputs, list) or not all(isinstance(tensor, dict) for tensor in inputs):
        raise BadRequest('the JSON header has no list "inputs"')
    tensors: dict[str, Tensor] = {}
    binary = memoryview(body)[json_bytes:]
    for tensor in inputs:
        name, used = tensor.get("name"), _parameter(tensor, "binary_data_size")
        if not isinstance(name, str) or name not in INPUTS or name in tensors:
            raise BadRequest(
                f"input {str(name)[:40]!r}: the model takes {', '.join(INPUTS)}, once each"
            )
        tensors[name] = _tensor(tensor, name, binary)
        binary = binary[used or 0 :]
    if missing := INPUTS.keys() - tensors.keys():
        raise BadRequest(f"input {', '.join(sorted(missing))} is missing")
    if len(binary):
        raise BadRequest(f"{len(binary)} bytes are left over after the last tensor")
    return header, tensors


def wanted_outputs(header: dict[str, Any]) -> tuple[list[str], set[str]]:
    """Names of the outputs in the order asked for, and which of them as binary."""
    default = _parameter(header, "binary_data_output") is True
    outputs = header.get("outputs") or [{"name": name} for name in OUTPUTS]
    if not isinstance(outputs, list) or not all(
        isinstance(output, dict) and output.get("name") in [*OUTPUTS] for output in outputs
    ):
        raise BadRequest(f"the outputs of {MODEL} are {', '.join(OUTPUTS)}")
    binary = {
        output["name"]
        for output in outputs
        if (default if (asked := _parameter(output, "binary_data")) is None else asked is True)
    }
    return list(dict.fromkeys(output["name"] for output in outputs)), binary


def pack(name: str, elements: list[Any]) -> bytes:
    """Elements of an output in row-major order, in the binary extension."""
    if name == "REWARDS":
        return np.asarray(elements, dtype="<f4").tobytes()
    encoded = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def _tensor(tensor: dict[str, Any], name: str, binary: memoryview) -> Tensor:
    datatype, shape = tensor.get("datatype"), tensor.get("shape")
    if datatype != INPUTS[name][0]:
        raise BadRequest(f"{name} has datatype {datatype!r}; send {INPUTS[name][0]}")
    if not isinstance(shape, list) or len(shape) > 2 or not all(map(_is_size, shape)):
        raise BadRequest(f"{name} has shape {str(shape)[:80]}; send one or two sizes")
    size = _parameter(tensor, "binary_data_size")
    if size is None:
        elements = _flat(tensor.get("data"), name)
    elif not _is_size(size) or size > len(binary):
        raise BadRequest(f"{name} says {str(size)[:40]} binary bytes, {len(binary)} are there")
    else:
        elements = _unpack(binary[:size], name)
    if len(elements) != math.prod(shape):
        raise BadRequest(f"{name} has shape {shape} and {len(elements)} elements")
    return Tensor(shape, elements)


def _is_size(n: object) -> bool:
    return type(n) is int and 0 <= n < 2**31


def _flat(data: object, name: str) -> list[Any]:
    """Elements of a JSON tensor, which may be nested or flat."""
    if not isinstance(data, list):
        raise BadRequest(f'{name} has neither "data" nor binary data')
    while data and all(isinstance(part, list) for part in data):
        data = [element for part in data for element in part]
    if name == "GT_TEXT":
        if not all(isinstance(element, str) for element in data):
            raise BadRequest(f"{name} holds something that is not a string")
    elif not all(type(n) is int and -(2**31) <= n < 2**31 for n in data):
        raise BadRequest(f"{name} holds something that is not a 32-bit integer")
    return data


def _unpack(data: memoryview, name: str) -> Sequence[Any]:
    if name != "GT_TEXT":
        if len(data) % 4:
            raise BadRequest(
                f"{name} has {len(data)} bytes, which is not a whole number of 32-bit integers"
            )
        return np.frombuffer(data, dtype="<i4").tolist()
    texts: list[str] = []
    while data:
        (length,) = struct.unpack_from("<I", data) if len(data) >= 4 else (-1,)
        if not 0 <= length <= len(data) - 4:
            raise BadRequest(f"{name}: string {len(texts)} is cut off")
        try:
            texts.append(str(data[4 : 4 + length], "utf-8"))
        except UnicodeDecodeError:
            raise BadRequest(f"{name}: string {len(texts)} is not UTF-8") from None
        data = data[4 + length :]
    return texts


def _parameter(described: dict[str, Any], name: str) -> Any:
    parameters = described.get("parameters")
    return parameters.get(name) if isinstance(parameters, dict) else None
