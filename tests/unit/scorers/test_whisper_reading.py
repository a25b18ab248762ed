"""The batched Whisper: drafts, rows that come and go; against plain greedy decoding."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from transformers import WhisperConfig as TransformersWhisperConfig
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from support.paths import TINY
from support.whisper_engine import torch_engine
from ttsrl.audio.waveform import Waveform
from ttsrl.codecs.registry import load_codec
from ttsrl.reward.config import WhisperConfig
from ttsrl.scorers.base import Raw
from ttsrl.scorers.whisper.draft import Draft
from ttsrl.scorers.whisper.log_mel import LogMel
from ttsrl.scorers.whisper.pool import DRAFTED
from ttsrl.scorers.whisper.reading import (
    GrowingTranscript,
    Reading,
    ReadingEngine,
    ReadingJob,
)
from ttsrl.scorers.whisper.scorer import WhisperScorer, resolve_dtype

RATE_HZ = 16_000
END = 99


@pytest.fixture(scope="module")
def words() -> dict[str, list[int]]:
    return json.loads((TINY / "codec/words.json").read_text())


@pytest.fixture(scope="module")
def spoken(words: dict[str, list[int]]) -> tuple[list[str], list[Waveform]]:
    """Twenty texts of the tiny stack's words and their speech, of many lengths."""
    random = np.random.default_rng(0)
    vocabulary = [word for word in words if word.isalpha()]
    texts = [" ".join(random.choice(vocabulary, n)) for n in random.integers(1, 8, 20)]
    codec = load_codec(str(TINY / "codec"))
    waveforms = codec.decode([[t for w in text.split() for t in words[w]] for text in texts])
    return texts, [w[: 3 * RATE_HZ] for w in waveforms]


@pytest.fixture(scope="module")
def noisy_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights: transcripts that no text resembles, of many lengths."""
    folder = tmp_path_factory.mktemp("whisper")
    shutil.copytree(TINY / "whisper", folder, dirs_exist_ok=True)
    config = TransformersWhisperConfig.from_pretrained(folder)
    model = WhisperForConditionalGeneration(config)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, weight in sorted(model.named_parameters()):
            if weight.dim() > 1:
                weight.normal_(std=0.3, generator=random)
        decoder = model.model.decoder
        end = json.loads((folder / "config.json").read_text())["eos_token_id"]
        decoder.layer_norm.bias.add_(0.4 * decoder.embed_tokens.weight[end])
    model.save_pretrained(folder)
    shutil.copy(TINY / "whisper/generation_config.json", folder)
    return folder


def with_errors(
    tokens: Sequence[int], share: float, vocabulary: int, random: np.random.Generator
) -> list[int]:
    """A text with some tokens replaced, left out or put in, as where a policy misspoke."""
    changed = []
    for token in tokens:
        if random.random() >= share:
            changed.append(token)
            continue
        match int(random.integers(3)):
            case 0:
                changed.append(int(random.integers(vocabulary)))
            case 1:
                pass
            case 2:
                changed += [token, int(random.integers(vocabulary))]
    return changed


def read(engine: ReadingEngine, jobs: Sequence[ReadingJob]) -> list[Reading]:
    readings = dict(engine.read(jobs))
    assert sorted(readings) == list(range(len(jobs)))
    return [readings[n] for n in range(len(jobs))]


@pytest.mark.parametrize("rows", [3, 32])
@pytest.mark.parametrize("share", [0.01, 0.1, 1.0])
def test_a_draft_changes_no_transcript(
    noisy_whisper: Path, spoken: tuple[list[str], list[Waveform]], share: float, rows: int
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(noisy_whisper), rows=rows))
    engine, prompt = torch_engine(scorer), scorer.tokens.prompt("en")
    waveforms = spoken[1][:8]
    engine.drafted = 0
    plain = [r.written for r in read(engine, [ReadingJob(w, prompt) for w in waveforms])]
    assert len({len(written) for written in plain}) > 3
    random = np.random.default_rng(1)
    targets = [
        [*with_errors(written, share, scorer.tokens.end, random), scorer.tokens.end]
        for written in plain
    ]
    jobs = [ReadingJob(w, prompt, target) for w, target in zip(waveforms, targets, strict=True)]
    undrafted = read(engine, jobs)
    engine.drafted = DRAFTED
    drafted = read(engine, jobs)
    assert [r.written for r in drafted] == [r.written for r in undrafted] == plain
    assert [r.nll for r in drafted] == pytest.approx([r.nll for r in undrafted], abs=1e-5)


@pytest.mark.parametrize("mode", ["correct", "channel-io", "deep-unlearning"])
def test_what_is_heard_does_not_depend_on_the_rows(
    spoken: tuple[list[str], list[Waveform]],
    mode: Literal["correct", "channel-io", "deep-unlearning"],
) -> None:
    texts, waveforms = spoken
    wrong = [*texts[1:], texts[0]]
    config = WhisperConfig(model=str(TINY / "whisper"), mode=mode)
    alone = WhisperScorer(config, batch_size=1).score(waveforms, RATE_HZ, wrong, ["en"] * 20)
    for rows in (2, 7, 32):
        scorer = WhisperScorer(config.model_copy(update={"rows": rows}))
        together = scorer.score(waveforms, RATE_HZ, wrong, ["en"] * 20)
        assert [r.transcript for r in together] == [r.transcript for r in alone]
        assert [r.nll for r in together] == pytest.approx([r.nll for r in alone], abs=1e-5)


def test_a_draft_spares_steps(
    spoken: tuple[list[str], list[Waveform]], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts, waveforms = spoken
    one_wrong = [" ".join(["jump", *text.split()[1:]]) for text in texts]
    scorer = WhisperScorer(WhisperConfig(model=str(TINY / "whisper")))
    pool, steps = torch_engine(scorer).pool, []
    launch = pool.launch
    monkeypatch.setattr(pool, "launch", lambda guesses: steps.append(1) or launch(guesses))

    def count() -> int:
        steps.clear()
        scorer.score(waveforms, RATE_HZ, one_wrong, ["en"] * 20)
        return len(steps)

    drafted = count()
    torch_engine(scorer).drafted = 0
    assert drafted < count() / 2


def test_rows_enter_before_the_last_ones_have_left(
    noisy_whisper: Path, spoken: tuple[list[str], list[Waveform]], monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(noisy_whisper), rows=4))
    engine, alive = torch_engine(scorer), []
    enter = engine._enter
    monkeypatch.setattr(
        engine, "_enter", lambda *args: alive.append(engine.pool.alive) or enter(*args)
    )
    scorer.score(spoken[1], RATE_HZ, spoken[0], ["en"] * 20)
    assert max(alive) > 0
    assert engine.pool.alive == 0


def test_a_row_of_nans_leaves_nothing_behind(spoken: tuple[list[str], list[Waveform]]) -> None:
    texts, waveforms = spoken
    scorer = WhisperScorer(WhisperConfig(model=str(TINY / "whisper")))

    def score() -> list[Raw]:
        """With texts that were not said, so that rows stay for many steps."""
        return scorer.score(waveforms, RATE_HZ, [*texts[1:], texts[0]], ["en"] * 20)

    before = score()
    bias = torch_engine(scorer).network.encoder_norm.bias
    kept = bias.clone()
    bias.fill_(torch.nan)
    assert np.isnan([r.nll for r in score()]).all()
    bias.copy_(kept)
    assert score() == before


@pytest.mark.parametrize("drafted", [0, DRAFTED])
@pytest.mark.parametrize("rows", [3, 32])
@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_the_likelihood_is_that_of_the_target_that_the_transcript_decides(
    noisy_whisper: Path,
    spoken: tuple[list[str], list[Waveform]],
    engine: Literal["torch", "ctranslate2"],
    rows: int,
    drafted: int,
) -> None:
    scorer = WhisperScorer(WhisperConfig(model=str(noisy_whisper), rows=rows, engine=engine))
    if engine == "torch":
        torch_engine(scorer).drafted = drafted
    prompt, end = scorer.tokens.prompt("en"), scorer.tokens.end
    targets = [[5, 6, 7, end], [8, 9, end]] * 10

    def respell(written: list[int]) -> list[int]:
        """Another target for about half of the transcripts."""
        return [*written[:3][::-1], end] if len(written) % 2 else [8, 9, end]

    pairs = list(zip(spoken[1], targets, strict=True))
    together = read(
        scorer.engine, [ReadingJob(w, prompt, target, respell=respell) for w, target in pairs]
    )
    finals = [respell(reading.written) for reading in together]
    assert 0 < sum(f == t for f, t in zip(finals, targets, strict=True)) < 20
    apart = read(
        scorer.engine, [ReadingJob(w, prompt, f) for (w, _), f in zip(pairs, finals, strict=True)]
    )
    assert [r.written for r in together] == [r.written for r in apart]
    assert [r.nll for r in together] == pytest.approx([r.nll for r in apart], abs=1e-4)


@pytest.mark.parametrize("capacity", [1, 3, 8])
def test_memory_that_does_not_suffice_means_fewer_rows(
    spoken: tuple[list[str], list[Waveform]],
    capacity: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    texts, waveforms = spoken
    config = WhisperConfig(model=str(TINY / "whisper"), rows=16)
    expected = WhisperScorer(config).score(waveforms, RATE_HZ, texts[::-1], ["en"] * 20)
    scorer = WhisperScorer(config)
    engine = torch_engine(scorer)
    new_cache = engine.network.new_cache

    def small(rows: int, positions: int) -> torch.Tensor:
        if rows > capacity:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return new_cache(rows, positions)

    monkeypatch.setattr(engine.network, "new_cache", small)
    raws = scorer.score(waveforms, RATE_HZ, texts[::-1], ["en"] * 20)
    assert engine.pool.capacity == 2 ** (capacity.bit_length() - 1)
    assert "trying half" in caplog.text
    assert [r.transcript for r in raws] == [r.transcript for r in expected]


def test_the_log_mel_is_whisper_s(spoken: tuple[list[str], list[Waveform]]) -> None:
    features = WhisperFeatureExtractor.from_pretrained(TINY / "whisper")
    waveforms = spoken[1][:5]
    expected = features(waveforms, sampling_rate=RATE_HZ, return_tensors="pt").input_features
    mel = LogMel(features, torch.device("cpu"))(waveforms)
    assert mel.shape == (5, 80, 300)
    torch.testing.assert_close(mel, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([1, 2], [3, 4, 5, 6, END]),
        ([1, 2, 30], [4, 5, 6, END]),  # another token in the place of 3
        ([1, 2, 4], [5, 6, END]),  # 3 left out
        ([1, 2, 30, 3], [4, 5, 6, END]),  # 30 put in
        ([1, 2, 30, 31, 32, 5], [6, END]),
        ([1, 2, 3, 4, 5, 6], [END]),
        ([40, 41, 3], [4, 5, 6, END]),
    ],
)
def test_a_draft_goes_on_where_the_transcript_is(written: list[int], expected: list[int]) -> None:
    draft = Draft([1, 2, 3, 4, 5, 6, END])
    for token in written:
        draft.write(token)
    assert draft.next(10) == expected
    assert draft.next(1) == expected[:1]


def test_a_transcript_much_longer_than_its_reference_runs_out_of_drafts() -> None:
    draft = Draft([1, 2, END])
    for token in [1, 2, *[7] * 100]:
        draft.write(token)
    assert len(draft.next(15)) <= 1
    none = Draft([])
    none.write(5)
    assert none.next(15) == []


def test_a_row_takes_what_won_and_no_more() -> None:
    row = GrowingTranscript(0, [0, 0], [1, 2, 3, END], limit=5)
    row.take(row.reference, [1, 2, 8, 7], END)
    assert (row.written, row.done, row.start) == ([1, 2, 8], False, 4)
    row.take([4], [9, 9], END)
    assert row.written == [1, 2, 8, 9]
    assert len(row.guess(15)) <= 1
    row.take([END], [END, 3], END)
    assert row.done and row.written == [1, 2, 8, 9]
    full = GrowingTranscript(0, [0], [], limit=2)
    full.take([5, 6, 7], [5, 6, 7, 8], END)
    assert full.done and full.written == [5, 6]


def test_a_gpu_computes_in_bfloat16_unless_told_otherwise() -> None:
    config = WhisperConfig(model="m")
    assert resolve_dtype(config, "cpu") == "float32"
    assert resolve_dtype(config, "cuda:0") == "bfloat16"
    assert resolve_dtype(config.model_copy(update={"dtype": "float32"}), "cuda") == "float32"
    ct2 = config.model_copy(update={"engine": "ctranslate2"})
    assert resolve_dtype(ct2, "cuda") == "float32"


def test_bfloat16_hears_nearly_the_same(spoken: tuple[list[str], list[Waveform]]) -> None:
    texts, waveforms = spoken
    config = WhisperConfig(model=str(TINY / "whisper"))
    exact = WhisperScorer(config).score(waveforms, RATE_HZ, texts, ["en"] * 20)
    low = config.model_copy(update={"dtype": "bfloat16"})
    near = WhisperScorer(low).score(waveforms, RATE_HZ, texts, ["en"] * 20)
    assert [r.transcript for r in near] == [r.transcript for r in exact]
    assert [r.nll for r in near] == pytest.approx([r.nll for r in exact], abs=0.05)
    assert [r.nll for r in near] != [r.nll for r in exact]
