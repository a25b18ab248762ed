"""A suite with voices through the whole evaluation: whole, in shards, and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import soundfile

from examples.tiny.word_tokens import say
from support.tiny_wavlm import save_tiny_wavlm
from ttsrl.audio.voice_prompt import read_voice
from ttsrl.codecs.registry import load_codec
from ttsrl.config.load import load_run
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.evaluate import EvalShard, evaluate
from ttsrl.evaluation.reduce import Sharded
from ttsrl.evaluation.shard import Shards
from ttsrl.evaluation.suites import read_suite
from ttsrl.scorers.speaker_models import XVector
from ttsrl.storage.run_store import RunStore
from ttsrl.synthesis.synthesiser import Synthesiser
from ttsrl.text.benchmark_wer import benchmark_wer

POLICY, CODEC = "examples/tiny/policy", "examples/tiny/codec"
TEXTS = ["three blue robots", "four birds walk", "five monkeys swim"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list as Seed-TTS-eval's, its recordings in the tiny policy's voice; the last has none."""
    folder = tmp_path_factory.mktemp("suite")
    codec = load_codec(CODEC)
    said = ["dogs swim", "robots sing"]
    for n, text in enumerate(said):
        unended = say(text.split())[:-1]
        waveform = codec.decode([unended])[0]
        soundfile.write(folder / f"{n}.wav", waveform, codec.sample_rate_hz, subtype="FLOAT")
    lines = [f"u{n}|{said[n]}|{n}.wav|{TEXTS[n]}" for n in range(2)] + [f"u2|{TEXTS[2]}"]
    (folder / "meta.lst").write_text("\n".join(lines))
    save_tiny_wavlm(folder / "wavlm")
    return folder


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> RunConfig:
    suite = {
        "name": "seed-en",
        "type": "seed-tts-eval",
        "path": str(folder / "meta.lst"),
        "language": "en",
        "judges": [{"name": "judge", "type": "ctc", "model": str(Path("examples/tiny/judge"))}],
        "speaker_model": str(folder / "wavlm"),
        "sampling": {"max_speech_tokens": 37},  # the limit of its rollouts
    }
    return load_run(
        "examples/tiny/run.json",
        [
            f"eval.suites={json.dumps([suite])}",
            "eval.batch_size=2",
            "train.steps=3",
            f"storage={tmp_path / 'storage'}",
        ],
    )


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_a_suite_is_spoken_in_its_voices_and_measured_as_its_authors_do(
    run: RunConfig, folder: Path, tmp_path: Path
) -> None:
    suite = read_suite(run, "seed-en", tmp_path)
    report = evaluate(run, POLICY, suite, tmp_path / "whole")
    rows = rows_of(tmp_path / "whole")
    assert [(r["mode"], r["id"], r["text"]) for r in rows] == [
        (mode, f"u{n}", TEXTS[n]) for mode in ("sampled", "greedy") for n in range(3)
    ]
    for row in rows:
        heard = row["judges"]["judge"]
        assert heard["wer"] == benchmark_wer(row["text"], heard["transcript"], "en")
        assert (row["similarity"] is None) == (row["voice"] is None) == (row["index"] == 2)

    tiny = Synthesiser(POLICY, CODEC, "llasa")
    recordings = [read_voice(folder / f"{n}.wav") for n in range(2)]
    voices = [tiny.voice(rows[n]["voice"]["text"], *recordings[n]) for n in range(2)]
    expected = tiny.synthesise(TEXTS[:2], temperature=0, seed=0, max_tokens=37, voices=voices)
    greedy = [row for row in rows if row["mode"] == "greedy"]
    assert [row["tokens"] for row in greedy[:2]] == [len(s.speech_tokens) for s in expected]
    model = XVector(str(folder / "wavlm"), "cpu", 2)
    for n, speech in enumerate(expected):
        embedded = model.embed(
            [speech.waveform, recordings[n][0]], [speech.sample_rate_hz, recordings[n][1]]
        )
        assert greedy[n]["similarity"] == pytest.approx(float(embedded[0] @ embedded[1]), abs=1e-5)
    similarities = [row["similarity"] for row in greedy[:2]]
    assert report.modes["greedy"].mean_similarity == pytest.approx(sum(similarities) / 2)
    assert report.suite == "seed-en"


def test_shards_of_a_suite_put_together_are_the_undivided_evaluation(
    run: RunConfig, tmp_path: Path
) -> None:
    store = RunStore(run.storage, run.name)
    suite = read_suite(run, "seed-en", tmp_path)
    for index in range(2):
        pod = Shards(run, store, suite, "seed-en", EvalShard(index, 2), tmp_path / f"pod-{index}")
        pod.evaluate(0, run.model)
        pod.evaluate(3, POLICY)
    Sharded(run, store, "seed-en", "seed-en", 2, tmp_path / "reduce").reduce(3)
    evaluate(run, POLICY, suite, tmp_path / "whole")
    published = tmp_path / "storage" / store.eval("seed-en", 3)
    assert (published / "rows.jsonl").read_bytes() == (
        tmp_path / "whole" / "rows.jsonl"
    ).read_bytes()
    assert not (tmp_path / "storage" / store.best).exists()
