"""Learned preference: pairs of a run, answers, the head, and the head as a scorer."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from typer.testing import CliRunner

from support.paths import TINY
from ttsrl.audio.io import resample
from ttsrl.cli.app import app
from ttsrl.errors import BadInput
from ttsrl.prefer.clips import Pair, clip_of, clips_of, pairs_of
from ttsrl.prefer.page import write_page
from ttsrl.prefer.training import Comparisons, best_l2, fit, log_odds, right, train
from ttsrl.reward.components import Preference, utilities_of
from ttsrl.reward.config import RewardConfig, WhisperConfig
from ttsrl.scorers.base import Scorer, SpeechSample
from ttsrl.scorers.embedding import Embedder
from ttsrl.scorers.preference import FACTS, PreferenceScorer, load_head
from ttsrl.scorers.reference import RATE_HZ, check_scorer, voice
from ttsrl.scorers.registry import load_scorers
from ttsrl.scorers.remote import RemoteScorer

WHISPER, WAV2VEC2 = str(TINY / "whisper"), str(TINY / "judge")
TEXTS = 60


@pytest.fixture(scope="module")
def collected(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[Pair], dict[str, float]]:
    """A page of voices that differ in pitch, length and how far the pitch swings."""
    random = np.random.default_rng(0)
    clips, swing_of = [], {}
    for n in range(TEXTS):
        for swing in random.uniform(0, 6, 2):
            sound = voice(
                random.uniform(1.0, 1.6),
                pitch_hz=random.uniform(90, 220),
                swing_semitones=swing,
            )
            clips.append(clip_of(f"text {n}", sound, RATE_HZ))
            swing_of[clips[-1].id] = swing
    folder = tmp_path_factory.mktemp("collected") / "preferences"
    pairs = pairs_of(clips, 1000, seed=0)
    write_page(pairs, folder, "voices")
    return folder, pairs, swing_of


def answered(folder: Path, pairs: list[Pair], choose: Callable[[Pair], str]) -> Path:
    """A file of answers; `choose(pair)` is a, b or same."""
    file = folder / "answers.jsonl"
    rows = [
        {"page": "p", "pair": p.id, "a": p.a.id, "b": p.b.id, "text": p.a.text, "at": "now"}
        | {"choice": choose(p)}
        for p in pairs
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture(scope="module")
def livelier(
    collected: tuple[Path, list[Pair], dict[str, float]], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A head of a listener who likes pitch that moves, and cannot tell small differences."""
    folder, pairs, swing_of = collected

    def choose(pair: Pair) -> str:
        more = swing_of[pair.a.id] - swing_of[pair.b.id]
        return "same" if abs(more) < 0.3 else "a" if more > 0 else "b"

    base = tmp_path_factory.mktemp("livelier")
    out = base / "head"
    train(folder, [answered(base, pairs, choose)], WHISPER, out)
    return out


def scorer_of(head: Path, **knobs: Any) -> Scorer:
    component = Preference(model=str(head), **knobs)
    reward = RewardConfig(whisper=WhisperConfig(model="w"), components=[component])
    scorer = load_scorers(reward)["preference"]
    assert not isinstance(scorer, RemoteScorer)
    return scorer


def test_a_planted_preference_is_learned_and_its_worth_stated(livelier: Path) -> None:
    facts = load_head(livelier).facts
    assert facts.accuracy > 0.7 and facts.low > 0.5
    assert facts.low < facts.accuracy < facts.high
    assert facts.pairs + facts.same == TEXTS and facts.same > 0
    card = (livelier / "README.md").read_text()
    assert f"Held-out accuracy **{facts.accuracy:.1%}**" in card
    assert f"{facts.low:.1%} to {facts.high:.1%}" in card
    assert "chance 50%: better than chance" in card


def test_a_head_scores_speech_as_its_listener_would(livelier: Path) -> None:
    scorer = scorer_of(livelier)
    check_scorer("preference", scorer)
    swings = [0.0, 1.0, 3.0, 5.0, 6.0]
    speeches = [
        SpeechSample(voice(1.3, pitch_hz=140, swing_semitones=swing), RATE_HZ, "a", "en")
        for swing in swings
    ]
    logits = [values["preference"] for values in scorer.score(speeches)]
    assert np.corrcoef(swings, logits)[0, 1] > 0.8
    raw = {"cer": 0.1, "preference": logits[0]}
    utility = utilities_of([Preference(model="m")], raw, "en")["preference"]
    assert utility == pytest.approx(1 / (1 + math.exp(-logits[0])))
    assert utilities_of([Preference(model="m")], raw | {"cer": 0.3}, "en") == {"preference": 0.0}
    assert Preference(model="m").utility(-1e4) == 0 and Preference(model="m").utility(1e4) == 1


def test_random_answers_are_reported_as_chance_and_no_reward_takes_their_head(
    collected: tuple[Path, list[Pair], dict[str, float]], tmp_path: Path
) -> None:
    folder, pairs, _ = collected
    random = np.random.default_rng(1)
    file = answered(tmp_path, pairs, lambda pair: random.choice(["a", "b"]))
    arguments = ["prefer", "train", folder, file, "--out", tmp_path / "head", "--encoder", WHISPER]
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0
    assert re.search(r"right on \d+\.\d% of 60 held-out pairs .*chance 50 %", result.stdout)
    assert "no better than chance" in result.stdout
    facts = load_head(tmp_path / "head").facts
    assert facts.low < 0.5 < facts.high
    assert "do not use it as a reward" in (tmp_path / "head/README.md").read_text()
    with pytest.raises(BadInput, match="and chance is 50%: it would reward noise"):
        scorer_of(tmp_path / "head")


def comparisons(
    count: int = 200, features: int = 4, seed: int = 0
) -> tuple[NDArray[np.float64], Comparisons]:
    """Listeners who follow Bradley and Terry's model with known weights."""
    random = np.random.default_rng(seed)
    weights = np.array([2.0, -1.0, 0.0, 0.5])[:features]
    a, b = random.standard_normal((2, count, features))
    to_a = (random.random(count) < 1 / (1 + np.exp(-(a - b) @ weights))).astype(float)
    return weights, Comparisons(a, b, to_a, np.arange(count) // 2)


def test_the_fit_finds_bradley_and_terry_s_weights() -> None:
    weights, pairs = comparisons(count=4_000)
    found, bias = fit(pairs, l2=1e-2)
    assert found == pytest.approx(weights, abs=0.15)
    scores = np.concatenate([pairs.a_ND, pairs.b_ND]) @ found + bias
    assert scores.mean() == pytest.approx(0, abs=1e-9)
    mirrored = Comparisons(pairs.b_ND, pairs.a_ND, 1 - pairs.to_a_N, pairs.text_N)
    assert fit(mirrored, l2=1e-2)[0] == pytest.approx(found, abs=1e-4)
    assert np.linalg.norm(fit(pairs, l2=1e4)[0]) < np.linalg.norm(found) / 2


def test_a_pair_that_is_the_same_pulls_its_clips_together() -> None:
    _, pairs = comparisons()
    same = Comparisons(pairs.a_ND, pairs.b_ND, np.full(200, 0.5), pairs.text_N)
    assert np.abs(fit(same, l2=1.0)[0]).max() < 1e-4


def test_accuracy_is_of_texts_that_were_not_learned_from() -> None:
    random = np.random.default_rng(0)
    # Each text likes another direction: what is learned of one helps with no other.
    directions = random.standard_normal((20, 400))
    text = np.repeat(np.arange(20), 10)
    a, b = random.standard_normal((2, 200, 400))
    to_a = (((a - b) * directions[text]).sum(1) > 0).astype(float)
    pairs = Comparisons(a, b, to_a, text)
    weights, _ = fit(pairs, l2=1e-2)
    assert ((log_odds(pairs, weights) > 0) == (to_a == 1)).all()  # it knows them by heart
    assert right(pairs).mean() < 0.65
    assert len(right(pairs)) == 200
    for training, held_out in pairs.splits(5):
        assert not set(text[training]) & set(text[held_out])


def test_noise_is_regularised_more_than_a_clear_preference() -> None:
    _, clear = comparisons()
    random = np.random.default_rng(2)
    to_a = random.integers(0, 2, 200).astype(float)
    noise = Comparisons(clear.a_ND, clear.b_ND, to_a, clear.text_N)
    assert best_l2(noise) > best_l2(clear)


@pytest.mark.parametrize("encoder", [WHISPER, WAV2VEC2])
def test_an_embedding_is_the_same_alone_and_in_company_of_any_length(encoder: str) -> None:
    embedder = Embedder(encoder, batch_size=2)
    lengths_s = [1.0, 2.4, 1.0, 0.02, 4.5]  # beyond the tiny Whisper's window of 3 s too
    clips = [voice(s, pitch_hz=100 + 30 * n) for n, s in enumerate(lengths_s)]
    together = embedder.embed(clips, [RATE_HZ] * 5)
    alone = np.concatenate([embedder.embed([clip], [RATE_HZ]) for clip in clips])
    assert alone == pytest.approx(together, abs=1e-4, rel=1e-4)
    assert len({tuple(row.round(3)) for row in together}) == 5
    elsewhere = embedder.embed([resample(clips[0], RATE_HZ, 24_000)], [24_000])[0]
    assert np.corrcoef(elsewhere, together)[0, 1:].argmax() == 0  # the rate makes no difference


def test_a_head_is_part_of_the_specification_and_knows_its_encoder(
    livelier: Path, tmp_path: Path
) -> None:
    spec = scorer_of(livelier).spec
    encoder = tmp_path / "encoder"
    shutil.copytree(WHISPER, encoder)
    assert scorer_of(livelier, encoder=str(encoder)).spec == spec  # it has moved
    (encoder / "config.json").write_text((encoder / "config.json").read_text() + "\n")
    with pytest.raises(BadInput, match="is not the one that the head"):
        scorer_of(livelier, encoder=str(encoder))
    other = tmp_path / "head"
    shutil.copytree(livelier, other)
    assert scorer_of(other).spec == spec
    head = load_head(other)
    type(head)(2 * head.weights_D, head.bias, head.facts).save(other)
    assert scorer_of(other).spec != spec
    (other / FACTS).write_text("{}")
    with pytest.raises(BadInput, match=r"no preference head at .*; give the folder"):
        PreferenceScorer(Preference(model=str(other)), "cpu", 2)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda rows: rows[:20], "20 decided pairs .* at least 40"),
        (lambda rows: [r | {"choice": "same"} for r in rows], "0 decided pairs"),
        (lambda rows: [r | {"choice": "a"} for r in rows], r"side B was chosen in 0% of 60"),
        (lambda rows: [r | {"text": "one"} for r in rows], "are of 1 texts"),
        (lambda rows: [rows[0] | {"choice": "c"}, *rows], r":1: choice: "),
        (lambda rows: [*rows, {}], r":61: page: Field required"),
        (lambda rows: [rows[0] | {"a": "../../etc/passwd"}, *rows], r":1: a: "),
        (lambda rows: [rows[0] | {"a": "0" * 16}, *rows], r"clip 0000000000000000, and .* not"),
    ],
)
def test_answers_that_nothing_can_be_learned_from_are_refused(
    collected: tuple[Path, list[Pair], dict[str, float]],
    tmp_path: Path,
    edit: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    message: str,
) -> None:
    folder, pairs, _ = collected
    random = np.random.default_rng(0)
    file = answered(tmp_path, pairs, lambda pair: random.choice(["a", "b"]))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(row) + "\n" for row in edit(rows)))
    with pytest.raises(BadInput, match=message):
        train(folder, [file], WHISPER, tmp_path / "head")
    assert not (tmp_path / "head").exists()


def test_files_that_are_not_there_or_no_answers_are_refused(
    collected: tuple[Path, list[Pair], dict[str, float]], tmp_path: Path
) -> None:
    folder, _, _ = collected
    with pytest.raises(BadInput, match="no such file"):
        train(folder, [tmp_path / "no.jsonl"], WHISPER, tmp_path / "head")
    (tmp_path / "taken").mkdir()
    with pytest.raises(BadInput, match="is there already"):
        train(folder, [], WHISPER, tmp_path / "taken")
    (tmp_path / "x.jsonl").write_text("hello\n")
    with pytest.raises(BadInput, match=r"x\.jsonl:1: not JSON"):
        train(folder, [tmp_path / "x.jsonl"], WHISPER, tmp_path / "head")


def test_pairs_are_of_one_text_in_drawn_order_and_spread_over_texts() -> None:
    clips = [
        clip_of(f"text {n}", voice(0.3, pitch_hz=100 + 10 * n + k), RATE_HZ)
        for n in range(40)
        for k in range(4 if n < 5 else 2)
    ]
    clips.append(clip_of("alone", voice(0.3), RATE_HZ))
    pairs = pairs_of(clips, 40, seed=3)
    assert all(pair.a.text == pair.b.text and pair.a.id != pair.b.id for pair in pairs)
    assert len({pair.a.text for pair in pairs}) == 40
    first = {clip.id: n for n, clip in enumerate(clips)}
    swapped = sum(first[pair.a.id] > first[pair.b.id] for pair in pairs)
    assert 8 < swapped < 32
    assert [p.id for p in pairs] == [p.id for p in pairs_of(clips, 40, seed=3)]
    assert [p.id for p in pairs] != [p.id for p in pairs_of(clips, 40, seed=4)]
    assert len(pairs_of(clips, 1000, seed=0)) == 35 + 5 * 6
    with pytest.raises(BadInput, match="no text has two"):
        pairs_of(clips[-1:], 10, seed=0)


def test_recordings_listed_in_a_file_become_a_page_and_what_cannot_be_read_is_named(
    tmp_path: Path,
) -> None:
    for n in range(2):
        soundfile.write(tmp_path / f"{n}.wav", voice(0.5, pitch_hz=100 + n), RATE_HZ)
    rows = [{"text": "hello <b>there</b> </script>", "wav": f"{n}.wav"} for n in (0, 1, 1)]
    listed = tmp_path / "clips.jsonl"
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len(clips_of(listed)) == 2
    arguments = ["prefer", "collect", str(listed), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout) == (
        0,
        f"{tmp_path}/out/prefer.html: 1 pairs of 1 texts\n",
    )
    page = (tmp_path / "out/prefer.html").read_text()
    assert page.count("</script>") == 2 and "0.wav" not in page
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 2 and "is there already" in again.stderr
    listed.write_text('{"text": "a"}\n')
    with pytest.raises(BadInput, match=r":1: .* names no recording"):
        clips_of(listed)
    listed.write_text('{"text": "a", "wav": "clips.jsonl"}\n')
    with pytest.raises(BadInput, match=r"clips.jsonl: the file is not audio"):
        clips_of(listed)
    with pytest.raises(BadInput, match="no speech in"):
        clips_of(tmp_path)
    with pytest.raises(BadInput, match="no such folder or file"):
        clips_of(tmp_path / "nowhere")
