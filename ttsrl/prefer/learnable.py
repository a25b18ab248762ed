"""Pairs that a run kept, as listeners hear them, and listeners' choices as pairs to learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from ttsrl.errors import BadInput
from ttsrl.prefer.answers import Answer, check_sides, read_answers
from ttsrl.prefer.clips import Clip, Pair, clip_of
from ttsrl.records.listening import (
    ASKED,
    SPOKEN,
    ClipIds,
    ComparedPairs,
    ListeningPair,
    PageIds,
)
from ttsrl.records.preference import PAIRS, PreferencePair
from ttsrl.records.record import read_file, read_lines, write_lines


def kept_pairs(folder: Path, count: int, seed: int) -> tuple[list[Pair], PageIds] | None:
    """At most `count` of the pairs that a run with train.keep_pairs kept, every text once before
    any text twice, on drawn sides, and the token ids of their clips; None where it kept none.

    Pairs of which one cannot be heard, as a gated rollout, are not among them. Raises BadInput.
    """
    kept = [p for p in read_lines(PreferencePair, folder / "train" / PAIRS) if p.rejected_reward]
    if not kept:
        return None
    from transformers import AutoTokenizer

    from ttsrl.codecs.registry import codec_digest, load_codec
    from ttsrl.config.load import load_run
    from ttsrl.families.registry import load_family
    from ttsrl.models.hub import load_part, local_folder

    run = load_run(folder / "run.json")
    tokenizer = load_part(AutoTokenizer, local_folder(run.model))
    family = load_family(run.family, tokenizer, told=run.prompt)
    codec = load_codec(str(local_folder(run.codec)), voice=run.voice)
    random = np.random.default_rng(seed)
    pairs: list[Pair] = []
    spoken: dict[str, ClipIds] = {}
    for kept_pair in _every_text_first(kept, random):
        clips: list[Clip] = []
        for ids in (kept_pair.chosen_ids, kept_pair.rejected_ids):
            tokens, _ = family.speech_tokens(ids)
            if not tokens or min(tokens) < 0:
                break
            (waveform,) = codec.decode([tokens])
            clips.append(clip_of(kept_pair.text, waveform, codec.sample_rate_hz))
            spoken[clips[-1].id] = ClipIds(
                id=clips[-1].id, prompt_ids=kept_pair.prompt_ids, response_ids=ids
            )
        if len(clips) == 2 and clips[0].id != clips[1].id:
            pairs.append(Pair(*(clips if random.random() < 0.5 else reversed(clips))))
        if len(pairs) == count:
            break
    heard = {clip.id for pair in pairs for clip in (pair.a, pair.b)}
    known = [clip for clip in spoken.values() if clip.id in heard]
    return pairs, PageIds(codec=codec_digest(run.codec, run.voice), clips=known)


def _every_text_first(
    kept: Sequence[PreferencePair], random: np.random.Generator
) -> Iterator[PreferencePair]:
    """All pairs in random order, the first of every text before the second of any."""
    turn: dict[str, int] = defaultdict(int)
    rounds: dict[int, list[PreferencePair]] = defaultdict(list)
    for n in random.permutation(len(kept)):
        pair = kept[int(n)]
        rounds[turn[pair.text]].append(pair)
        turn[pair.text] += 1
    for n in sorted(rounds):
        yield from rounds[n]


@dataclass(frozen=True)
class Learnable:
    """What listeners' answers come to."""

    pairs: list[PreferencePair]
    undecided: int
    """Pairs that are left out: the same to listeners, or as many chose either side."""
    disputed: int
    """Pairs of `pairs` that not all answers agree about."""


def learnable(folder: Path, files: Sequence[Path], out: Path) -> Learnable:
    """Write the pairs of the page in `folder` that listeners decided, for `dpo.pairs`.

    A clip's reward is its share of a pair's answers; "the same" counts one half. Raises BadInput.
    """
    if out.exists():
        raise BadInput(f"{out} is there already; give another --out, or remove it")
    spoken, asked = (
        read_file(PageIds, folder / SPOKEN),
        read_file(ComparedPairs, folder / ASKED),
    )
    if spoken is None or asked is None:
        raise BadInput(
            f"no {SPOKEN} in {folder}: the token ids of its clips are not known, and nothing can "
            "be learned from recordings; let `ttsrl prefer collect` make a page of a run with "
            "train.keep_pairs"
        )
    answers = answers_to(asked, files)
    check_sides(answers)
    found = _learnable(asked.pairs, answers, spoken)
    if not found.pairs:
        raise BadInput(
            f"listeners decided none of {found.undecided} pairs: they are the same to them, or "
            "as many chose either side; collect more answers"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    write_lines(out, found.pairs)
    return found


def answers_to(asked: ComparedPairs, files: Sequence[Path]) -> list[Answer]:
    """The answers to a page. Raises BadInput where one is to another page."""
    answers = read_answers(files)
    known = {pair.id: (asked.page, pair.a, pair.b, pair.text) for pair in asked.pairs}
    for answer in answers:
        if known.get(answer.pair) != (answer.page, answer.a, answer.b, answer.text):
            raise BadInput(
                f"the answer to pair {answer.pair} of page {answer.page} ({answer.text!r}) is to "
                f"no pair of page {asked.page}; give what listeners saved from this page, unchanged"
            )
    return answers


def _learnable(
    asked: Sequence[ListeningPair], answers: Sequence[Answer], spoken: PageIds
) -> Learnable:
    to_a: dict[str, list[float]] = defaultdict(list)
    for answer in answers:
        to_a[answer.pair].append({"a": 1.0, "same": 0.5, "b": 0.0}[answer.choice])
    clips = {clip.id: clip for clip in spoken.clips}
    pairs: list[PreferencePair] = []
    undecided = disputed = 0
    for pair in asked:
        if not (votes := to_a.get(pair.id)):
            continue
        share = fmean(votes)
        if share == 0.5:
            undecided += 1
            continue
        disputed += len(set(votes)) > 1
        chosen, rejected = (pair.a, pair.b) if share > 0.5 else (pair.b, pair.a)
        if missing := [clip for clip in (chosen, rejected) if clip not in clips]:
            raise BadInput(f"{SPOKEN} lacks the clip {missing[0]}; collect the page again")
        pairs.append(
            PreferencePair(
                step=0,
                text=pair.text,
                prompt_ids=clips[chosen].prompt_ids,
                chosen_ids=clips[chosen].response_ids,
                rejected_ids=clips[rejected].response_ids,
                chosen_reward=max(share, 1 - share),
                rejected_reward=min(share, 1 - share),
                codec=spoken.codec,
            )
        )
    return Learnable(pairs, undecided, disputed)
