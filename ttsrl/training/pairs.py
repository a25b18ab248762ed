"""Pairs to learn preferences from: made of a step's rollouts, read again and checked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from ttsrl.codecs.registry import codec_digest
from ttsrl.config.schema import RunConfig
from ttsrl.data.sources import read_parquet
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.records.preference import PAIRS, PreferencePair
from ttsrl.records.record import read_lines
from ttsrl.records.rollout import Rollout
from ttsrl.wire import Failed, Ok

Spoken = tuple[Rollout, list[int], list[int]]
"""A rollout, the ids of its prompt, and those of its response."""


def pairs_of(step: int, spoken: Sequence[Spoken]) -> list[PreferencePair]:
    """The best and the worst measured rollout of each group in which rewards differ.

    The best is speech; the worst may be gated. A failed measurement prefers nothing.
    """
    groups: dict[str, list[tuple[float, Spoken]]] = defaultdict(list)
    for one in spoken:
        outcome = one[0].outcome
        if not isinstance(outcome, Failed):
            groups[one[0].group].append((float(outcome.reward), one))
    pairs: list[PreferencePair] = []
    for group in groups.values():
        group.sort(key=lambda scored: scored[0])
        (low, (_, _, rejected)), (high, (best, prompt, chosen)) = group[0], group[-1]
        if high > low and isinstance(best.outcome, Ok):
            pairs.append(
                PreferencePair(
                    step=step,
                    text=best.text,
                    prompt_ids=prompt,
                    chosen_ids=chosen,
                    rejected_ids=rejected,
                    chosen_reward=high,
                    rejected_reward=low,
                )
            )
    return pairs


def read_pairs(run: RunConfig, family: Family, positions: int, data: Path) -> list[PreferencePair]:
    """The run's pairs, those that differ enough.

    `positions`: tokens that the policy can hold; `data`: the prepared folder, whose held-out texts
    may not be learned from. Raises BadInput.
    """
    assert run.dpo is not None
    file = Path(run.dpo.pairs)
    if not file.is_file():
        raise BadInput(
            f"dpo.pairs = {run.dpo.pairs!r} is not a file; a run with train.keep_pairs writes "
            f"train/{PAIRS} into its folder"
        )
    pairs = read_lines(PreferencePair, file)
    for number, pair in enumerate(pairs, 1):
        _check(pair, f"{file}:{number}", family, positions)
    _check_codec(run, pairs, file)
    held_out = _texts(data / "held_out.parquet")
    if leaked := [pair.text for pair in pairs if pair.text in held_out]:
        raise BadInput(
            f"{len(leaked)} pairs of {file} are of texts that this run holds out for evaluation, "
            f"first {leaked[0]!r}; use the texts and the split of the run that made the pairs"
        )
    known = _texts(data / "train.parquet")
    if unknown := [pair.text for pair in pairs if pair.text not in known]:
        raise BadInput(
            f"{len(unknown)} pairs of {file} are of texts that are not in this run's data, first "
            f"{unknown[0]!r}; use the texts and the split of the run that made the pairs"
        )
    least = run.dpo.least_difference
    kept = [pair for pair in pairs if pair.chosen_reward - pair.rejected_reward >= least]
    if len(kept) < run.train.prompts_per_step:
        raise BadInput(
            f"{len(kept)} of {len(pairs)} pairs in {file} differ by dpo.least_difference = "
            f"{least:g} or more, and an update takes train.prompts_per_step = "
            f"{run.train.prompts_per_step}; lower one of them, or give more pairs"
        )
    return kept


def _texts(file: Path) -> set[str]:
    return {row["extra_info"]["text"] for _, row in read_parquet(file)}


def _check_codec(run: RunConfig, pairs: Sequence[PreferencePair], file: Path) -> None:
    """What listeners heard must be what the run's tokens sound like."""
    heard = {pair.codec for pair in pairs if pair.codec is not None}
    if heard and (others := heard - {codec_digest(run.codec, run.voice)}):
        raise BadInput(
            f"listeners heard the clips of {file} by another codec or voice (digest "
            f"{min(others)[:12]}) than {run.codec}; give the codec and the voice of the run whose "
            "clips they compared"
        )


def _check(pair: PreferencePair, place: str, family: Family, positions: int) -> None:
    chosen, _ = family.speech_tokens(pair.chosen_ids)
    if not chosen or min(chosen) < 0:
        raise BadInput(
            f"{place}: what was chosen is not speech of the run's family; pairs belong to "
            "the policy whose run made them, and to its family"
        )
    if pair.chosen_ids == pair.rejected_ids or not pair.rejected_ids:
        raise BadInput(
            f"{place}: the two responses are the same, or one is missing; leave the pair out"
        )
    longest = len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids))
    if longest > positions:
        raise BadInput(
            f"{place}: it has {longest} tokens and the policy {positions} positions; leave it out"
        )
