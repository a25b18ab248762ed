"""XCodec2's encoder against transformers' own class, each recording alone; the whole command."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import transformers
from pyarrow import parquet
from tiny_xcodec2 import save_tiny_xcodec2

from ttsrl.codecs.registry import load_encoder
from ttsrl.data.encode import EncodeOptions, encode
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice

SAMPLES = [8_000, 20_480, 8_001, 4_000, 319, 20_479, 12_345]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_xcodec2(tmp_path_factory.mktemp("codec"))


@pytest.fixture(scope="module")
def recordings() -> list[np.ndarray]:
    return [voice(n / 16_000, pitch_hz=120.0 + n % 7 * 20)[:n] for n in SAMPLES]


@pytest.fixture(scope="module")
def alone(folder: Path, recordings: list[np.ndarray]) -> list[list[int]]:
    model = transformers.Xcodec2Model.from_pretrained(folder).eval()
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    codes = []
    for waveform in recordings:
        inputs = extractor(waveform, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            codes.append(model.encode(**inputs).audio_codes[0, 0].tolist())
    return codes


def test_unequal_lengths_encode_together_as_the_real_class_encodes_each_alone(
    folder: Path, recordings: list[np.ndarray], alone: list[list[int]]
) -> None:
    encoder = load_encoder(str(folder))
    together = encoder.encode(recordings)
    assert [len(codes) for codes in together] == [n // 320 + 1 for n in SAMPLES]
    assert len({code for codes in together for code in codes}) > 50
    assert together == alone
    assert encoder.encode(recordings[::-1])[::-1] == together
    assert (encoder.codebook_size, encoder.tokens_per_s) == (65_536, 50)


def test_the_command_writes_the_codes_and_the_decoder_reads_them(
    folder: Path, recordings: list[np.ndarray], alone: list[list[int]], tmp_path: Path
) -> None:
    source = tmp_path / "speech"
    source.mkdir()
    for number, samples in enumerate(recordings):
        soundfile.write(source / f"{number}.wav", samples, 16_000, subtype="FLOAT")
    encoded = encode(str(source), str(folder), tmp_path / "out", EncodeOptions(), batch_s=2)
    assert (encoded.recordings, encoded.skipped) == (6, 1)  # 319 samples are too short
    (shard,) = (tmp_path / "out").rglob("*.parquet")
    rows = {int(row["id"]): row["speech_tokens"] for row in parquet.read_table(shard).to_pylist()}
    assert rows[2] == alone[2]
    facts = json.loads(parquet.read_schema(shard).metadata[b"ttsrl"])["codec"]
    assert (facts["codebook_size"], facts["tokens_per_s"]) == (65_536, 50)


def test_a_codec_without_its_feature_extractor_says_which_file_it_wants(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(BadInput, match=r"add its preprocessor_config.json"):
        load_encoder(str(tmp_path))
    transformers.SeamlessM4TFeatureExtractor().save_pretrained(tmp_path)
    with pytest.raises(BadInput, match=r"describes a SeamlessM4TFeatureExtractor, not the Xcodec2"):
        load_encoder(str(tmp_path))
