"""What an offline run of Weights & Biases has on disk.

A kill takes what its writer still held, and no function of wandb reads such a file. It is a log of
records as LevelDB has them (https://github.com/google/leveldb/blob/main/doc/log_format.md) after a
header of 7 bytes, each record a protobuf message.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ttsrl.records.tracking import Told
from ttsrl.tracking.base import EVALUATED_STEP, STEP
from ttsrl.tracking.findings import finding_name

FILE_HEADER_BYTES = 7
BLOCK_BYTES = 32 * 1024
RECORD_HEADER = struct.Struct("<IHB")
"""Checksum, length, and whether it is whole (1), a begin (2), a middle (3) or an end (4)."""
ENDS = (1, 4)


def read_back(folder: Path, run_id: str) -> Told:
    """What the offline runs with this id hold, of all starts together."""
    told = Told()
    for path in sorted(folder.glob(f"wandb/offline-run-*-{run_id}/run-{run_id}.wandb")):
        for row in history(path):
            if EVALUATED_STEP in row:
                told = told.with_evaluation(f"{row['eval/suite']}/{int(row[EVALUATED_STEP])}")
            elif STEP in row:
                told = told.with_step(int(row[STEP]))
            elif name := finding_name(row):
                told = told.with_finding(name)
    return told


def history(path: Path) -> Iterator[dict[str, Any]]:
    """What was logged, one row a call: key -> value; a key of a table has its parts joined by /."""
    messages: Any = import_module("wandb.proto.wandb_internal_pb2")  # its classes are made then
    for data in _records(path.read_bytes()):
        record = messages.Record()
        record.ParseFromString(data)
        if record.WhichOneof("record_type") == "history":
            yield {
                "/".join(item.nested_key) or item.key: json.loads(item.value_json)
                for item in record.history.item
            }


def _records(data: bytes) -> Iterator[bytes]:
    """The whole records of a log; what a kill cut short ends it."""
    at, record = FILE_HEADER_BYTES, b""
    while True:
        if BLOCK_BYTES - at % BLOCK_BYTES < RECORD_HEADER.size:
            at += BLOCK_BYTES - at % BLOCK_BYTES
        if at + RECORD_HEADER.size > len(data):
            return
        _, length, kind = RECORD_HEADER.unpack_from(data, at)
        at += RECORD_HEADER.size
        if kind == 0 or at + length > len(data):
            return
        record += data[at : at + length]
        at += length
        if kind in ENDS:
            yield record
            record = b""
