"""Recordings become CosyVoice2's speech tokens, by the published file and the whole command."""

from pathlib import Path

import pytest
import soundfile
from pyarrow import parquet

from support.cosyvoice2_files import write_voice_models
from ttsrl.audio.io import read_mono
from ttsrl.codecs.s3_tokenizer import S3Tokenizer
from ttsrl.data.encode import EncodeOptions, encode
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice

SECONDS = [0.5, 1.31, 0.87, 2.0, 0.06]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "speech"
    folder.mkdir()
    for number, seconds in enumerate(SECONDS):
        sound = voice(seconds, 24_000, pitch_hz=120.0 + 20 * number)
        soundfile.write(folder / f"{number}.flac", sound, 24_000)
    return folder


def test_recordings_of_unequal_lengths_have_the_tokens_that_each_has_alone(
    source: Path, tmp_path: Path
) -> None:
    (tmp_path / "codec").mkdir()
    codec = write_voice_models(tmp_path / "codec")
    options = EncodeOptions(min_duration_s=0.05)
    encoded = encode(str(source), str(codec), tmp_path / "out", options, device="cpu")
    assert encoded.recordings == len(SECONDS)
    (shard,) = (tmp_path / "out").rglob("*.parquet")
    rows = parquet.read_table(shard).to_pylist()
    tokenizer = S3Tokenizer(codec)
    for row, seconds in zip(rows, SECONDS, strict=True):
        alone = tokenizer.encode([read_mono(Path(row["audio"]), 16_000)])
        assert [row["speech_tokens"]] == alone
        assert abs(len(row["speech_tokens"]) - 25 * seconds) <= 1
        assert all(0 <= token < 6_561 for token in row["speech_tokens"])
    assert len({token for row in rows for token in row["speech_tokens"]}) > 10


def test_a_damaged_tokenizer_is_refused_and_nothing_is_encoded(
    source: Path, tmp_path: Path
) -> None:
    codec = tmp_path / "codec"
    codec.mkdir()
    (codec / "speech_tokenizer_v2.onnx").write_bytes(b"cut off")
    with pytest.raises(BadInput, match="is not a speech tokenizer of CosyVoice2"):
        encode(str(source), str(codec), tmp_path / "out", EncodeOptions(), device="cpu")
    assert not list((tmp_path / "out").rglob("*.parquet"))
