"""Variables of a model.bin, written by ctranslate2/specs/model_spec.py (binary version 6)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TYPES = ("f4", "i1", "i2", "i4", "f2")
"""numpy's name of each type id."""


def read_variables(file: Path) -> dict[str, NDArray[np.generic]]:
    """Every variable by its name, float32 where the file has float16."""
    reader = _Reader(file.read_bytes())
    reader.integer("I")  # version of the format
    reader.string()  # name of the model's specification
    reader.integer("I")  # revision of the specification
    return dict(_variable(reader) for _ in range(reader.integer("I")))


class _Reader:
    """Little-endian values, one after another."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def integer(self, code: str) -> int:
        [value] = struct.unpack_from(f"<{code}", self.content, self.at)
        self.at += struct.calcsize(code)
        return value

    def string(self) -> str:
        """A string's length is counted with the zero byte at its end."""
        return self.bytes(self.integer("H"))[:-1].decode()

    def bytes(self, count: int) -> bytes:
        self.at += count
        return self.content[self.at - count : self.at]


def _variable(reader: _Reader) -> tuple[str, NDArray[np.generic]]:
    name = reader.string()
    shape = [reader.integer("I") for _ in range(reader.integer("B"))]
    kind = TYPES[reader.integer("B")]
    values = np.frombuffer(reader.bytes(reader.integer("I")), kind).reshape(shape)
    return name, values.astype(np.float32) if kind == "f2" else values
