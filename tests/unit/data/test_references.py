"""References: whose voice each text is spoken in, and every way a reference can be bad."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
import soundfile

from ttsrl.codecs.tiny import TinyCodec
from ttsrl.config.evaluation import EvalConfig
from ttsrl.config.schema import RunConfig
from ttsrl.data.encode import EncodeOptions, encode
from ttsrl.data.prompts import prepare
from ttsrl.data.told import conditions_in
from ttsrl.errors import BadInput

TINY = Path("examples/tiny").absolute()
CLIP = TINY / "clips" / "black-birds-sing-today.flac"
SAID = "black birds sing today"
TEXTS = [f"{a} {b} {c}" for a in ("red", "old") for b in ("dogs", "birds") for c in ("run", "swim")]


def run_of(folder: Path, lines: list[dict[str, Any]], **data: Any) -> RunConfig:
    texts = folder / "texts.jsonl"
    texts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RunConfig.model_validate(
        {
            "name": "r",
            "model": str(TINY / "policy"),
            "codec": str(TINY / "codec"),
            "data": {"texts": str(texts), "held_out_fraction": 0.3, **data},
            "rollout": {"max_prompt_tokens": 128},
            "train": {"steps": 1},
            "reward": {"whisper": {"model": str(TINY / "whisper")}},
            "eval": {"judges": [{"name": "j", "type": "ctc", "model": str(TINY / "judge")}]},
        }
    )


def infos(run: RunConfig, out: Path) -> list[dict[str, Any]]:
    prepare(run, out)
    tables = [parquet.read_table(out / f"{split}.parquet") for split in ("train", "held_out")]
    return [row["extra_info"] for table in tables for row in table.to_pylist()]


def test_a_text_is_spoken_in_the_voice_of_its_own_recording(tmp_path: Path) -> None:
    lines = [{"text": text, "prompt_audio": str(CLIP), "prompt_text": SAID} for text in TEXTS]
    run = run_of(tmp_path, [*lines, {"text": "six robots climb"}])
    codec = TinyCodec.load(str(TINY / "codec"))
    samples, rate_hz = soundfile.read(CLIP, dtype="float32")
    assert rate_hz == codec.sample_rate_hz
    [tokens] = codec.encode([samples])
    for info in infos(run, tmp_path / "data"):
        reference = conditions_in(run, info).reference
        if info["text"] == "six robots climb":
            assert reference is None
            continue
        assert reference is not None
        assert (reference.text, list(reference.tokens)) == (SAID, tokens)


def test_a_text_in_two_voices_is_not_a_duplicate(tmp_path: Path) -> None:
    voices = (
        {"prompt_text": SAID, "prompt_tokens": [1]},
        {"prompt_text": SAID, "prompt_tokens": [2]},
    )
    run = run_of(tmp_path, [{"text": text, **voice} for text in TEXTS for voice in voices])
    told = [tuple(info["reference"]["tokens"]) for info in infos(run, tmp_path / "data")]
    assert sorted(told) == [(1,)] * len(TEXTS) + [(2,)] * len(TEXTS)


def test_voices_are_drawn_by_seed_and_text_and_none_says_the_text_itself(tmp_path: Path) -> None:
    voices = tmp_path / "voices"
    voices.mkdir()
    for clip in (TINY / "clips").glob("*.flac"):
        (voices / clip.name).write_bytes(clip.read_bytes())
        (voices / clip.with_suffix(".txt").name).write_text(clip.stem.replace("-", " "))
    own = "black birds sing today"
    lines = [{"text": text} for text in [*TEXTS, own]]
    run = run_of(tmp_path, lines, references={"voices": str(voices)})
    first = {i["text"]: i["reference"]["text"] for i in infos(run, tmp_path / "a")}
    assert first == {i["text"]: i["reference"]["text"] for i in infos(run, tmp_path / "b")}
    assert len(set(first.values())) > 1
    assert first[own] != own
    others = [
        {i["text"]: i["reference"]["text"] for i in infos(other, tmp_path / f"seed{other.seed}")}
        for other in (run.model_copy(update={"seed": seed}) for seed in (1, 2, 3))
    ]
    assert any(other != first for other in others)
    # the same voices by their tokens
    encoded = tmp_path / "encoded"
    encode(str(voices), str(TINY / "codec"), encoded, EncodeOptions())
    by_tokens = run_of(tmp_path, lines, references={"voices": str(encoded)})
    found = {i["text"]: i["reference"] for i in infos(by_tokens, tmp_path / "c")}
    assert {text: voice["text"] for text, voice in found.items()} == first


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"prompt_audio": str(CLIP)}, "texts.jsonl:9: a reference without its transcript"),
        ({"prompt_text": SAID}, "texts.jsonl:9: prompt_text without the recording"),
        ({"prompt_text": SAID, "prompt_tokens": ["a"]}, "prompt_tokens = .* are not speech tokens"),
        ({"prompt_text": SAID, "prompt_audio": "none.wav"}, "no voice prompt at .*none.wav"),
        ({"prompt_text": SAID, "prompt_audio": "silent.wav"}, "silent.wav is silent"),
        ({"prompt_text": SAID, "prompt_tokens": [1] * 200}, "200 speech tokens, and a prompt at"),
        ({"prompt_text": "Six dogs!", "prompt_audio": str(CLIP)}, "says the text itself"),
        ({"prompt_text": "<b>six</b>", "prompt_tokens": [1]}, "markup '<b>'"),
        ({"prompt_text": SAID, "prompt_tokens": [-1]}, "speech token -1, outside the codebook"),
        ({"prompt_text": SAID, "prompt_tokens": [1_000]}, r"token 1000, outside .* \[0, 1000\)"),
        ({"prompt_text": SAID, "prompt_tokens": [1] * 120}, "tokens, 120 of them speech, and roll"),
        ({"prompt_text": "...", "prompt_tokens": [1]}, 'reference is "...", without a letter or d'),
        ({"prompt_text": "a\x07b", "prompt_tokens": [1]}, r"reference contains .* U\+0007"),
    ],
)
def test_a_bad_reference_is_refused(
    tmp_path: Path, reference: dict[str, Any], message: str
) -> None:
    soundfile.write(tmp_path / "silent.wav", np.zeros(16_000), 16_000)
    lines = [{"text": text} for text in TEXTS]
    run = run_of(tmp_path, [*lines, {"text": "six dogs", **reference}])
    with pytest.raises(BadInput, match=message):
        prepare(run, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_folder_without_a_usable_voice_is_refused(tmp_path: Path) -> None:
    voices = tmp_path / "voices"
    voices.mkdir()
    run = run_of(tmp_path, [{"text": t} for t in TEXTS], references={"voices": str(voices)})
    with pytest.raises(BadInput, match=r"no voice in .*voices; put recordings"):
        prepare(run, tmp_path / "data")
    (voices / "a.flac").write_bytes(CLIP.read_bytes())
    with pytest.raises(BadInput, match=r"a\.flac has no transcript: write what is said in it"):
        prepare(run, tmp_path / "data")
    for encoding, message in (("utf-16", "the file is UTF-16"), ("latin-1", "is not UTF-8")):
        (voices / "a.txt").write_bytes("café au lait".encode(encoding))
        with pytest.raises(BadInput, match=rf"a\.txt:1: .*{message}"):
            prepare(run, tmp_path / "data")


def test_a_transcript_is_one_line_without_a_byte_order_mark(tmp_path: Path) -> None:
    voices = tmp_path / "voices"
    voices.mkdir()
    (voices / "a.flac").write_bytes(CLIP.read_bytes())
    (voices / "a.txt").write_text("black birds\nsing today\n", encoding="utf-8-sig")
    run = run_of(tmp_path, [{"text": t} for t in TEXTS], references={"voices": str(voices)})
    assert {i["reference"]["text"] for i in infos(run, tmp_path / "data")} == {SAID}


@pytest.mark.parametrize(
    ("style", "judges", "message"),
    [
        (None, {"styles": {"low": [None, 140]}}, "and no text has a 'style'; give the texts one"),
        ("loud", {"styles": {"low": [None, 140]}}, "ranges for 'low', and none for 'loud'; add"),
    ],
)
def test_styles_that_the_evaluation_cannot_hear_are_refused(
    tmp_path: Path, style: str | None, judges: dict[str, Any], message: str
) -> None:
    run = run_of(tmp_path, [{"text": text, "style": style} for text in TEXTS])
    judge = {"name": "f0", "type": "measure", "measure": "pitch", **judges}
    evaluated = EvalConfig.model_validate(run.eval.model_dump() | {"styles": [judge]})
    with pytest.raises(BadInput, match=message):
        prepare(run.model_copy(update={"eval": evaluated}), tmp_path / "data")
