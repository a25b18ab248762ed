"""Of two lattices, the readings that are nearest to each other.

Exact where the texts agree (`same_sound` follows every reading) and where their choices make up to
`EXACT` pairs. Beyond that runs of equal parts divide the texts, and what lies between is compared
by itself; where there is no such run, the choices of the two texts are improved two by two, in a
fixed order, until none gets nearer. The same texts always give the same readings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import product
from math import prod

from rapidfuzz.distance import Levenshtein

from ttsrl.text.lattice import Choice, Reading, expansions, first, letters, same_sound

EXACT = 512
"""Pairs of readings that are all tried."""
PER_CHOICE = 12
"""Readings of one choice that are tried where texts differ; those the other text has go first."""
SWEEPS = 4
TRIES = 4_000
"""Pairs of readings that are tried at most where there are more than `EXACT`."""
ANCHOR = 2
"""Parts that are equal in both texts, in a row, and divide them where there are too many pairs."""
HINTS = 64
"""Readings of one choice in which those of the other text are looked for."""


def nearest(said: Reading, heard: Reading) -> tuple[str, str]:
    """The reading of each that has the fewest letters other than the other's; usual ones first.

    Two equal strings if the texts can sound the same.
    """
    if not _choices(said) and not _choices(heard):
        return first(said), first(heard)
    start, end = _shared(said, heard)
    before, after = said[:start], said[len(said) - end :]
    said, heard = said[start : len(said) - end], heard[start : len(heard) - end]
    if same_sound(said, heard):
        whole = first(before + said + after)
        return whole, whole
    sides = _Side.of(said, heard), _Side.of(heard, said)
    if sides[0].count * sides[1].count <= EXACT:
        texts = _texts(sides, _exhaust(*sides))
    else:
        texts = _between_anchors(said, heard) or _texts(sides, _improve(*sides))
    one, other = texts
    return _join(first(before), one, first(after)), _join(first(before), other, first(after))


def _texts(
    sides: tuple[_Side, _Side], chosen: tuple[Sequence[int], Sequence[int]]
) -> tuple[str, str]:
    return sides[0].text(chosen[0]), sides[1].text(chosen[1])


def _between_anchors(said: Reading, heard: Reading) -> tuple[str, str] | None:
    """The nearest readings of what lies between runs of equal parts; None without such a run."""
    matcher = SequenceMatcher(None, said, heard, autojunk=False)
    blocks = [block for block in matcher.get_matching_blocks() if block.size >= ANCHOR]
    if not blocks:
        return None
    one, other, a, b = [""], [""], 0, 0
    for block in blocks:
        gap = nearest(said[a : block.a], heard[b : block.b])
        a, b = block.a + block.size, block.b + block.size
        equal = first(said[block.a : a])
        one += [gap[0], equal]
        other += [gap[1], equal]
    rest = nearest(said[a:], heard[b:])
    return _join(*one, rest[0]), _join(*other, rest[1])


@dataclass(frozen=True)
class _Side:
    """One text: its slots, each with the strings that are tried there."""

    slots: Sequence[Sequence[str]]
    bare: Sequence[Sequence[str]]
    """The same strings without spaces."""

    @classmethod
    def of(cls, reading: Reading, other: Reading) -> _Side:
        heard = [first(other), *(text for c in _choices(other) for text in _each(c)[:HINTS])]
        hints = "\n".join(letters(text) for text in heard)
        slots = [
            [part] if isinstance(part, str) else _likely(_each(part), hints)
            for part in _runs(reading)
        ]
        return cls(slots, [[letters(text) for text in slot] for slot in slots])

    @property
    def count(self) -> int:
        return prod(len(slot) for slot in self.slots)

    @property
    def open(self) -> list[int]:
        return [i for i, slot in enumerate(self.slots) if len(slot) > 1]

    def text(self, picked: Sequence[int]) -> str:
        return _join(*(slot[i] for slot, i in zip(self.slots, picked, strict=True)))

    def letters(self, picked: Sequence[int]) -> str:
        return "".join([slot[i] for slot, i in zip(self.bare, picked, strict=True)])


def _exhaust(said: _Side, heard: _Side) -> tuple[Sequence[int], Sequence[int]]:
    """Indices of the readings of the nearest pair."""
    others = [(picked, heard.letters(picked)) for picked in _all(heard)]
    best, least = None, None
    for picked in _all(said):
        wanted = said.letters(picked)
        for other, got in others:
            errors = Levenshtein.distance(wanted, got, score_cutoff=least)
            if least is None or errors < least:
                best, least = (picked, other), errors
    assert best is not None, "each side has a reading"
    return best


def _all(side: _Side) -> Iterator[tuple[int, ...]]:
    return product(*(range(len(slot)) for slot in side.slots))


def _improve(said: _Side, heard: _Side) -> tuple[Sequence[int], Sequence[int]]:
    """Indices of readings from which no change of two neighbouring slots gets nearer."""
    picked, other = [0] * len(said.slots), [0] * len(heard.slots)
    least = Levenshtein.distance(said.letters(picked), heard.letters(other))
    tries = 0
    for _ in range(SWEEPS):
        before = least
        for i, j in _neighbours(said, heard):
            if tries > TRIES:
                return picked, other
            here = range(len(said.slots[i])) if i is not None else [0]
            there = range(len(heard.slots[j])) if j is not None else [0]
            best = (picked[i] if i is not None else 0, other[j] if j is not None else 0)
            tries += len(here) * len(there)
            for a, b in product(here, there):
                _pick(picked, i, a)
                _pick(other, j, b)
                errors = Levenshtein.distance(
                    said.letters(picked), heard.letters(other), score_cutoff=least
                )
                if errors < least:
                    best, least = (a, b), errors
            _pick(picked, i, best[0])
            _pick(other, j, best[1])
        if least == before:
            break
    return picked, other


def _pick(picked: list[int], slot: int | None, reading: int) -> None:
    if slot is not None:
        picked[slot] = reading


def _neighbours(said: _Side, heard: _Side) -> Iterator[tuple[int | None, int | None]]:
    """Slots that may be about the same words: those of about the same rank, and each alone."""
    mine, theirs = said.open, heard.open
    yield from ((i, None) for i in mine)
    yield from ((None, j) for j in theirs)
    for rank, i in enumerate(mine):
        near = rank * len(theirs) // len(mine)
        yield from ((i, j) for j in theirs[max(0, near - 1) : near + 2])


def _likely(readings: Sequence[str], hints: str) -> list[str]:
    """The first one and the most promising: the longest that the other text has."""
    own = [letters(text) for text in readings]
    order = sorted(
        range(len(readings)),
        key=lambda i: -len(own[i]) if own[i] in hints else 1,
    )
    kept = order[:PER_CHOICE]
    if 0 not in kept:
        kept[-1] = 0
    return [readings[i] for i in sorted(kept)]


def _each(part: Choice) -> tuple[str, ...]:
    return expansions((part,))


def _choices(reading: Reading) -> list[Choice]:
    return [part for part in reading if isinstance(part, Choice)]


def _runs(reading: Reading) -> Iterator[str | Choice]:
    """Parts, with neighbouring strings in one."""
    words: list[str] = []
    for part in reading:
        if isinstance(part, str):
            words.append(part)
            continue
        if words:
            yield " ".join(words)
            words = []
        yield part
    if words:
        yield " ".join(words)


def _shared(one: Reading, other: Reading) -> tuple[int, int]:
    """Numbers of parts that the two have in common at the start, and at the end of the rest."""
    most = min(len(one), len(other))
    start = next((i for i in range(most) if one[i] != other[i]), most)
    most -= start
    end = next((i for i in range(most) if one[-1 - i] != other[-1 - i]), most)
    return start, end


def _join(*texts: str) -> str:
    return " ".join(text for text in texts if text)
