"""Training prompts that begin with real speech: which codes, of which codec, and how many."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from pyarrow import parquet

from ttsrl.config.data import PrefixConfig
from ttsrl.config.schema import RunConfig
from ttsrl.data.encode import EncodeOptions, encode
from ttsrl.data.prompts import Prepared, prepare
from ttsrl.data.speech_prefix import prefix_of
from ttsrl.data.token_shards import encoder_digest
from ttsrl.errors import BadInput
from ttsrl.scorers.reference import voice

CODEC = "examples/tiny/codec"
TEXTS = [f"{a} {b} {c}" for a in ("red", "old") for b in ("dogs", "cats") for c in "abcdefgh"]


def run_config(texts: Path, codec: str = CODEC, **prefix: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "r",
            "model": "m",
            "codec": codec,
            "data": {"texts": str(texts), "held_out_fraction": 0.3, "prefix": prefix},
            "train": {"steps": 1},
            "reward": {"whisper": {"model": "w"}},
            "eval": {"judges": [{"name": "j", "type": "ctc", "model": "j"}]},
        }
    )


def write(path: Path, codes: object, key: str = "speech_tokens") -> Path:
    path.write_text("".join(json.dumps({"text": text, key: codes}) + "\n" for text in TEXTS))
    return path


def prefixes(out: Path, split: str) -> dict[str, list[int]]:
    infos = [row["extra_info"] for row in parquet.read_table(out / f"{split}.parquet").to_pylist()]
    return {info["text"]: info["speech_prefix"] for info in infos}


def test_prefix_lengths_are_even_between_the_limits_and_depend_on_seed_and_text_alone() -> None:
    codes = list(range(1_000))
    lengths = []
    for number in range(2_000):
        cut = prefix_of(f"text {number}", codes, PrefixConfig(), 25.0, seed=1)
        assert cut == codes[: len(cut)]
        assert cut == prefix_of(f"text {number}", codes, PrefixConfig(), 25.0, seed=1)
        lengths.append(len(cut))
    assert (min(lengths), max(lengths)) == (25, 124)
    counts, _ = np.histogram(lengths, bins=4, range=(25, 125))
    assert counts.min() > 430  # 500 are expected, and 3.6 deviations below are 430
    others = [len(prefix_of(f"text {n}", codes, PrefixConfig(), 25.0, seed=2)) for n in range(9)]
    assert others != lengths[:9]


def test_a_prefix_leaves_the_rest_of_its_recording_to_the_policy() -> None:
    wanted = PrefixConfig(max_share=0.5)
    assert {len(prefix_of(f"{n}", range(80), wanted, 25.0, 0)) for n in range(99)} <= set(
        range(25, 41)
    )
    assert prefix_of("a", range(49), wanted, 25.0, 0) == []
    assert len(prefix_of("a", range(50), wanted, 25.0, 0)) == 25
    some = PrefixConfig(prompts_share=0.25)
    with_one = sum(bool(prefix_of(f"{n}", range(500), some, 25.0, 0)) for n in range(2_000))
    assert 430 < with_one < 570


def test_recordings_encoded_here_give_training_prompts_their_prefixes(tmp_path: Path) -> None:
    source = tmp_path / "speech"
    source.mkdir()
    for i, text in enumerate(TEXTS):
        soundfile.write(source / f"{i:02d}.wav", voice(2.5 + 0.1 * i), 16_000)
        (source / f"{i:02d}.txt").write_text(text)
    encode(str(source), CODEC, tmp_path / "tokens", EncodeOptions(shard_size=20), device="cpu")
    counts = prepare(run_config(tmp_path / "tokens"), tmp_path / "data")
    shards = sorted((tmp_path / "tokens").rglob("*.parquet"))
    codes = {
        row["text"]: row["speech_tokens"]
        for shard in shards
        for row in parquet.read_table(shard).to_pylist()
    }
    trained = prefixes(tmp_path / "data", "train")
    assert counts.prefixed == len(trained) == counts.train
    for text, prefix in trained.items():
        assert 12 <= len(prefix) <= len(codes[text]) / 2
        assert prefix == codes[text][: len(prefix)]
    assert set(map(len, prefixes(tmp_path / "data", "held_out").values())) == {0}
    assert f"{counts.train} of them with a speech prefix" in str(counts)


def test_codes_of_another_codec_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", voice(1.5), 16_000)
    (tmp_path / "a.txt").write_text("red dogs")
    encode(str(tmp_path), CODEC, tmp_path / "tokens", EncodeOptions(), device="cpu")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "tiny_codec"}')
    with pytest.raises(BadInput, match=r"come from the codec examples/tiny/codec, .* they differ"):
        prepare(run_config(tmp_path / "tokens", codec=str(other)), tmp_path / "data")
    with pytest.raises(BadInput, match=r"tokens_per_s = 50, and .* have 12.5"):
        prepare(run_config(tmp_path / "tokens", tokens_per_s=50), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_language_model_beside_the_speech_tokenizer_changes_no_tokens(tmp_path: Path) -> None:
    def digest_with(**contents: str) -> str:
        for name, content in contents.items():
            (tmp_path / name.replace("_", ".")).write_text(content)
        return encoder_digest(tmp_path)

    plain = digest_with(llm_pt="1")
    assert plain != digest_with(llm_pt="2")
    (tmp_path / "speech_tokenizer_v2.onnx").write_text("1")
    tokenizer = digest_with(llm_pt="1")
    assert tokenizer == digest_with(llm_pt="2")
    (tmp_path / "speech_tokenizer_v2.onnx").write_text("2")
    assert tokenizer != digest_with(llm_pt="2")


def test_codes_of_other_tools_are_taken_with_their_key_and_rate(tmp_path: Path) -> None:
    texts = write(tmp_path / "t.jsonl", list(range(300)), key="code")

    def prepared(**prefix: Any) -> Prepared:
        return prepare(run_config(texts, **prefix), tmp_path / "data")

    assert prepared(column="code", tokens_per_s=25, min_s=2, max_s=2).prefixed > 0
    assert set(map(len, prefixes(tmp_path / "data", "train").values())) == {50}
    with pytest.raises(BadInput, match=r"set data.prefix.tokens_per_s \(XCodec2: 50"):
        prepared(column="code")
    with pytest.raises(BadInput, match=r"t.jsonl:1: speech_tokens = null are not speech tokens"):
        prepared(tokens_per_s=25)
    with pytest.raises(BadInput, match=r"no recording is long enough for a prefix of 9 s"):
        prepared(column="code", tokens_per_s=25, min_s=9, max_s=9)
    write(texts, [1, -3, 2], key="code")
    with pytest.raises(BadInput, match=r"speech token -3, outside the codebook"):
        prepared(column="code", tokens_per_s=25)
    write(texts, "<|s_1|>", key="code")
    with pytest.raises(BadInput, match=r"code = .*are not speech tokens"):
        prepared(column="code", tokens_per_s=25)
