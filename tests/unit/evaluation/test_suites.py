"""Suites as their authors publish them: formats, recordings, judges; and lists that are broken."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ttsrl.audio.voice_prompt import read_voice
from ttsrl.config.evaluation import JudgeConfig, SuiteConfig
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.evaluation.independence import check_independent
from ttsrl.evaluation.suites import listed_suite, read_suite
from ttsrl.scorers.preference import Facts as PreferenceFacts
from ttsrl.scorers.preference import Head
from ttsrl.scorers.reference import voice

TINY = "examples/tiny/run.json"


@pytest.fixture(scope="module")
def run() -> RunConfig:
    return load_run(TINY)


def recording(path: Path, seconds: float = 1.0, rate_hz: int = 24_000, **changes: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = voice(seconds, rate_hz) * changes.get("level", 1.0)
    channels = changes.get("channels", 1)
    soundfile.write(
        path, np.stack([samples] * channels, axis=1) if channels > 1 else samples, rate_hz
    )
    return path


def suite(path: Path, **fields: object) -> SuiteConfig:
    given = {"name": "s", "type": "seed-tts-eval", "path": str(path), "language": "en"} | fields
    return SuiteConfig.model_validate(given)


def seed_list(folder: Path, *lines: str) -> Path:
    recording(folder / "prompt-wavs" / "a.wav")
    path = folder / "meta.lst"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_meta_list_of_seed_tts_eval(run: RunConfig, tmp_path: Path) -> None:
    path = seed_list(
        tmp_path,
        "u1|what a says|prompt-wavs/a.wav|hello there|wavs/u1.wav",
        "u2|what a says|prompt-wavs/a.wav|how are you",
        "",
        "u3.wav|by myself",
    )
    found = listed_suite(run, suite(path))
    assert [(t.index, t.id, t.text, t.language) for t in found.texts] == [
        (0, "u1", "hello there", "en"),
        (1, "u2", "how are you", "en"),
        (2, "u3", "by myself", "en"),
    ]
    first = found.texts[0].voice
    assert first is not None and first == found.texts[1].voice and found.texts[2].voice is None
    assert (first.text, first.audio) == ("what a says", "prompt-wavs/a.wav")
    assert (found.folder / first.audio).is_file()
    assert found.wer == "benchmark"
    alone = listed_suite(run, suite(path, prompt_audio=False, max_texts=2))
    assert [t.voice for t in alone.texts] == [None, None]


def test_a_folder_of_cv3_eval(run: RunConfig, tmp_path: Path) -> None:
    folder = tmp_path / "CV3-Eval" / "data" / "zero_shot" / "zh"
    recording(folder / "waveform" / "p1.wav")
    (folder / "text").write_text("uttid_1 今天天气很好。\nuttid_2 你好 世界\n")
    (folder / "prompt_text").write_text("uttid_2 二\nuttid_1 一二三\n")
    line = "data/zero_shot//zh/waveform/p1.wav"
    (folder / "prompt_wav.scp").write_text(f"uttid_1 {line}\nuttid_2\t{line}\n")
    found = listed_suite(run, suite(folder, type="cv3-eval", language="zh"))
    assert [(t.id, t.text, t.voice and t.voice.text) for t in found.texts] == [
        ("uttid_1", "今天天气很好。", "一二三"),
        ("uttid_2", "你好 世界", "二"),
    ]
    assert found.texts[0].voice is not None
    assert (found.folder / found.texts[0].voice.audio).is_file()
    (folder / "prompt_text").write_text("uttid_1 一二三\n")
    with pytest.raises(BadInput, match=r"text:2: uttid_2 is not in .*prompt_text"):
        listed_suite(run, suite(folder, type="cv3-eval", language="zh"))
    (folder / "text").write_text("uttid_1\n")
    with pytest.raises(BadInput, match=r"text:1: no value after the name"):
        listed_suite(run, suite(folder, type="cv3-eval", language="zh"))


def test_a_list_of_ones_own(run: RunConfig, tmp_path: Path) -> None:
    recording(tmp_path / "a.wav")
    lines = [
        {"text": "hello", "id": "x", "prompt_audio": "a.wav", "prompt_text": "what a says"},
        {"text": "你好", "language": "zh"},
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = listed_suite(run, suite(path, type="jsonl"))
    assert [(t.text, t.language) for t in found.texts] == [("hello", "en"), ("你好", "zh")]
    assert (found.wer, found.judges) == ("ttsrl", run.eval.judges)


def test_the_judges_are_those_of_the_authors_unless_others_are_named(run: RunConfig) -> None:
    def models(**fields: object) -> list[tuple[str, str]]:
        return [
            (judge.type, judge.model)
            for judge in suite(Path("x"), **fields).judges_in(run.eval.judges)
        ]

    assert models() == [("whisper", "openai/whisper-large-v3")]
    paraformer = ("paraformer", "csukuangfj/sherpa-onnx-paraformer-zh-2023-09-14")
    assert models(language="zh") == models(language="zh", type="cv3-eval") == [paraformer]
    assert models(language="de", type="cv3-eval") == [("whisper", "openai/whisper-large-v3")]
    own = {"name": "j", "type": "ctc", "model": "m"}
    assert models(judges=[own]) == [("ctc", "m")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("u1", r"meta.lst:2: 1 fields between bars: \"u1\"; a line is"),
        ("a|b|c|d|e|f", "6 fields between bars"),
        ("u1|said|prompt-wavs/b.wav|hello", r"meta.lst:2: no voice prompt at .*b.wav"),
        ("u1|said|meta.lst|hello", "4 fields between bars.* a recording's name ends with"),
        ("u1|said|prompt-wavs/a.wav|two | birds", "5 fields between bars.* may contain a bar"),
        ("u1|two | birds", "3 fields between bars.* may contain a bar"),
        ("u1|hello|prompt-wavs/a.wav", r"meta.lst:2: a recording without its text.*prompt_audio"),
        ("u1|said|prompt-wavs/a.wav|...", r"meta.lst:2: nothing of text '...' can be heard"),
        ("u1|said|prompt-wavs/a.wav|", r"meta.lst:2: text '' is empty"),
    ],
)
def test_a_broken_line_is_told_by_file_and_number(
    run: RunConfig, tmp_path: Path, line: str, problem: str
) -> None:
    path = seed_list(tmp_path, "u0|what a says|prompt-wavs/a.wav|hello", line)
    with pytest.raises(BadInput, match=problem):
        listed_suite(run, suite(path))


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"channels": 2}, "has 2 channels.*-ac 1"),
        ({"rate_hz": 8_000}, "has 8000 samples per second, below 16000"),
        ({"seconds": 0.3}, "lasts 0.30 s; give 0.5 to 30 s"),
        ({"seconds": 31}, "the audio has 31.0 s; give at most 30 s"),
        ({"level": 1e-4}, "is silent: loudest"),
    ],
)
def test_a_voice_prompt_that_cannot_serve_is_refused(
    tmp_path: Path, changes: Any, problem: str
) -> None:
    with pytest.raises(BadInput, match=problem):
        read_voice(recording(tmp_path / "a.wav", **changes))


def test_lists_and_suites_that_are_not_there(run: RunConfig, tmp_path: Path) -> None:
    for kind in ("seed-tts-eval", "cv3-eval", "jsonl"):
        with pytest.raises(BadInput, match="no such"):
            listed_suite(run, suite(tmp_path / "none", type=kind))
    (tmp_path / "empty.lst").write_text("\n")
    with pytest.raises(BadInput, match="holds no text"):
        listed_suite(run, suite(tmp_path / "empty.lst"))
    (tmp_path / "latin.lst").write_bytes("u1|caf\xe9".encode("latin-1"))
    with pytest.raises(BadInput, match="byte 0xe9 at column 7 is not UTF-8"):
        listed_suite(run, suite(tmp_path / "latin.lst"))
    with pytest.raises(
        BadInput, match=r"no suite 'held-out' in eval.suites; did you mean 'held_out'"
    ):
        read_suite(run, "held-out", tmp_path)
    with pytest.raises(BadInput, match="speaker_model, and no text with a recording"):
        listed_suite(run, suite(seed_list(tmp_path, "u1|hello"), speaker_model="m"))


def with_suites(*suites: dict[str, Any]) -> RunConfig:
    return load_run(TINY, [f"eval.suites={json.dumps(suites)}"])


def test_suites_of_a_run(tmp_path: Path) -> None:
    path = seed_list(tmp_path, "u1|hello")
    own = {"name": "seed-en", "type": "seed-tts-eval", "path": str(path), "language": "en"}
    run = with_suites(own)
    assert read_suite(run, "seed-en", tmp_path).texts[0].text == "hello"
    for wrong, problem in [
        ([own, own], "two suites have the name 'seed-en'"),
        ([own | {"name": "before"}], "is that of the held-out texts"),
        ([own | {"judges": [{"name": "j", "type": "ctc", "model": "m"}] * 2}], "share a name"),
    ]:
        with pytest.raises(BadInput, match=problem):
            with_suites(*wrong)


def test_a_judge_may_not_be_a_model_of_the_reward_under_any_name(tmp_path: Path) -> None:
    component = {"type": "pinyin_wer", "model": "org/sensevoice"}
    judge = {"name": "j", "type": "paraformer", "model": "org/sensevoice"}
    settings = [f"reward.components={json.dumps([component])}"]
    listed: dict[str, Any] = {
        "name": "s",
        "type": "jsonl",
        "path": "x",
        "language": "zh",
        "judges": [judge],
    }
    with pytest.raises(
        BadInput, match=r"'j' of suite 's' is org/sensevoice.*reward\.components\[0\]\.model"
    ):
        load_run(TINY, [*settings, f"eval.suites={json.dumps([listed])}"])
    listed["judges"] = [judge | {"used_in_reward": True}]
    load_run(TINY, [*settings, f"eval.suites={json.dumps([listed])}"])

    copied = tmp_path / "innocent"
    copied.mkdir()
    original = Path("examples/tiny/whisper/model.safetensors")
    (copied / "pytorch_model.bin").write_bytes(original.read_bytes())
    run = load_run(TINY)
    disguised = JudgeConfig.model_validate({"name": "new", "type": "whisper", "model": str(copied)})
    with pytest.raises(
        BadInput, match=r"judge 'new' .* has the weights .* \(reward\.whisper\.model\)"
    ):
        check_independent(run, [disguised])
    check_independent(run, [disguised.model_copy(update={"used_in_reward": True})])
    check_independent(run, run.eval.judges)


def test_a_judge_may_not_be_the_encoder_of_a_preference(tmp_path: Path) -> None:
    """Neither by its name, nor by its weights, nor where only the head says which encoder it is."""
    judge = {"name": "j", "type": "whisper", "model": "org/encoder"}
    preference = {"type": "preference", "model": str(tmp_path / "head")}
    named = preference | {"encoder": "org/encoder"}
    judges = f"eval.judges={json.dumps([judge])}"
    with pytest.raises(BadInput, match=r"'j' is org/encoder.*\(reward\.components\[0\]\.encoder\)"):
        load_run(TINY, [judges, f"reward.components={json.dumps([named])}"])
    shown = [judge | {"name": "first", "model": "org/other"}, judge | {"used_in_reward": True}]
    load_run(
        TINY,
        [f"eval.judges={json.dumps(shown)}", f"reward.components={json.dumps([named])}"],
    )

    encoder, copied = tmp_path / "encoder", tmp_path / "innocent"
    for folder, name in ((encoder, "model.safetensors"), (copied, "pytorch_model.bin")):
        folder.mkdir()
        (folder / name).write_bytes(b"weights")
    facts = PreferenceFacts(str(encoder), "digest", 9, 0, 9, 0.9, 0.8, 1.0, 1.0)
    (tmp_path / "head").mkdir()
    Head(np.zeros(2), 0.0, facts).save(tmp_path / "head")
    disguised = JudgeConfig.model_validate(judge | {"model": str(copied)})
    for component, key in (
        (preference | {"encoder": str(encoder)}, "encoder"),
        (preference, "model"),
    ):
        run = load_run(TINY, [f"reward.components={json.dumps([component])}"])
        with pytest.raises(BadInput, match=rf"weights .* \(reward\.components\[0\]\.{key}\)"):
            check_independent(run, [disguised])
    check_independent(run, [disguised.model_copy(update={"used_in_reward": True})])
