"""The data set that `ttsrl encode` writes: parquet shards of speech tokens, and what made them.

A shard is written whole or not at all, and carries in its metadata which codec made it and which
recordings it leaves out: a folder of shards needs no other file to be gone on with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from ttsrl.data.sources import open_parquet, parquet_files
from ttsrl.errors import BadInput
from ttsrl.models.hub import model_digest
from ttsrl.storage.atomic import replace_file

S3_TOKENIZER = "speech_tokenizer_v2.onnx"
"""What makes CosyVoice2's speech tokens, of all that its folder holds."""

METADATA = b"ttsrl"
"""Key of our JSON in a parquet file's metadata."""

SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "audio": pa.string(),
        "text": pa.string(),
        "language": pa.string(),
        "speaker": pa.string(),
        "duration_s": pa.float64(),
        "speech_tokens": pa.list_(pa.int32()),
    }
)


@dataclass(frozen=True)
class CodecFacts:
    """The codec that speech tokens come from."""

    name: str
    """As it was given: a folder or a Hugging Face id."""
    digest: str
    """`encoder_digest` of it."""
    codebook_size: int
    sample_rate_hz: int
    tokens_per_s: float


@dataclass(frozen=True)
class Skipped:
    """A recording that has no speech tokens."""

    id: str
    audio: str
    reason: str


@dataclass(frozen=True)
class ShardFacts:
    """Metadata of one shard."""

    codec: CodecFacts
    skipped: list[Skipped]


@dataclass(frozen=True)
class Shard:
    """What one shard holds."""

    skipped: list[Skipped]
    recordings: int
    without_text: int
    speech_tokens: int
    duration_s: float


def encoder_digest(codec: Path) -> str:
    """SHA-256 of the files that decide which speech tokens a codec's folder gives."""
    tokenizer = codec / S3_TOKENIZER
    return model_digest(str(tokenizer if tokenizer.is_file() else codec))


def shard_paths(out: Path, count: int) -> list[Path]:
    """Names that the Hugging Face Hub and `datasets.load_dataset(out)` know as the split train."""
    return [out / "data" / f"train-{i:05d}-of-{count:05d}.parquet" for i in range(count)]


def write_shard(path: Path, rows: Sequence[dict[str, Any]], facts: ShardFacts) -> None:
    """Write one shard, renamed into place when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {METADATA: json.dumps(asdict(facts), ensure_ascii=False).encode()}
    table = pa.Table.from_pylist(list(rows), schema=SCHEMA.with_metadata(metadata))
    with replace_file(path) as temporary:
        parquet.write_table(table, temporary)


def read_shard(path: Path) -> Shard:
    """Count what a shard holds. Raises BadInput for a file that is none."""
    facts = _facts(path)
    if facts is None:
        raise BadInput(f"{path} is not a shard of `ttsrl encode`; give another folder")
    with open_parquet(path) as file:
        table = file.read(columns=["text", "speech_tokens", "duration_s"])
    return Shard(
        facts.skipped,
        table.num_rows,
        table["text"].null_count,
        len(table["speech_tokens"].combine_chunks().flatten()),
        sum(table["duration_s"].to_pylist()),
    )


def codec_of(data: Path) -> CodecFacts | None:
    """The codec of all shards of a folder or file; None where nothing tells it.

    Raises BadInput for shards of different codecs.
    """
    codecs = {facts.codec for f in parquet_files(data) if (facts := _facts(f)) is not None}
    if len({codec.digest for codec in codecs}) > 1:
        names = ", ".join(sorted(codec.name for codec in codecs))
        raise BadInput(f"{data} holds speech tokens of different codecs: {names}; separate them")
    return next(iter(codecs), None)


def _facts(path: Path) -> ShardFacts | None:
    with open_parquet(path) as file:
        metadata = file.schema_arrow.metadata or {}
    if METADATA not in metadata:
        return None
    facts = json.loads(metadata[METADATA])
    return ShardFacts(
        CodecFacts(**facts["codec"]), [Skipped(**skipped) for skipped in facts["skipped"]]
    )
