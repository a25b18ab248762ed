"""Readings of a written text, as a small lattice: what each part of it may sound like.

"$5" is said "five dollars" or "five dollar"; "1984" is a number, a year or four digits. A reading
is a sequence of parts; a part is a string, or a `Choice` between readings. The first reading of
every choice is the usual one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice

MOST_EXPANSIONS = 4_096
"""Of one choice, when its readings are listed one by one; `same_sound` follows all of them."""


@dataclass(frozen=True)
class Choice:
    """One of several readings is said; there are at least two."""

    readings: tuple[Reading, ...]


Part = str | Choice
Reading = tuple[Part, ...]


def choice(readings: Iterable[str | Reading]) -> Reading:
    """A reading that leaves the choice; equal ones count once."""
    each = dict.fromkeys((one,) if isinstance(one, str) else one for one in readings)
    each = dict.fromkeys(tuple(part for part in one if part != "") for one in each)
    return (Choice(tuple(each)),) if len(each) > 1 else next(iter(each), ())


def first(reading: Reading) -> str:
    """The usual reading as a string, single spaces between words."""
    parts = (part if isinstance(part, str) else first(part.readings[0]) for part in reading)
    return " ".join(part for part in parts if part)


@lru_cache(maxsize=4_096)
def expansions(reading: Reading) -> tuple[str, ...]:
    """The strings of a reading, the usual one first; at most `MOST_EXPANSIONS`."""
    return tuple(islice(dict.fromkeys(_expand(reading)), MOST_EXPANSIONS))


def _expand(reading: Reading) -> Iterator[str]:
    if not reading:
        yield ""
        return
    head, tail = reading[0], reading[1:]
    heads = [head] if isinstance(head, str) else [t for r in head.readings for t in expansions(r)]
    tails = expansions(tail)
    for one in heads[:MOST_EXPANSIONS]:
        for rest in tails:
            yield f"{one} {rest}".strip() if one else rest


def letters(text: str) -> str:
    """Without spaces: where words end is spelling, it is not heard."""
    return text.replace(" ", "")


def same_sound(one: Reading, other: Reading) -> bool:
    """Whether the two have a string in common, spaces aside; no reading is left out."""
    left, right = _Letters(one), _Letters(other)
    seen = {(0, 0)}
    todo = [(0, 0)]
    while todo:
        a, b = todo.pop()
        if (a, b) == (left.end, right.end):
            return True
        onward = [(target, b) for target in left.silent[a]]
        onward += [(a, target) for target in right.silent[b]]
        onward += [
            (to_a, to_b)
            for letter, to_a in left.steps[a]
            for same, to_b in right.steps[b]
            if letter == same
        ]
        for pair in onward:
            if pair not in seen:
                seen.add(pair)
                todo.append(pair)
    return False


@dataclass
class _Letters:
    """A reading as an automaton: node -> its letters with the next node, and steps in silence."""

    reading: Reading
    steps: list[list[tuple[str, int]]] = field(init=False, default_factory=lambda: [[]])
    silent: list[list[int]] = field(init=False, default_factory=lambda: [[]])
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.end = self._follow(self.reading, 0)

    def _follow(self, reading: Reading, node: int) -> int:
        for part in reading:
            node = self._choose(part, node) if isinstance(part, Choice) else self._say(part, node)
        return node

    def _say(self, text: str, node: int) -> int:
        for letter in letters(text):
            target = self._node()
            self.steps[node].append((letter, target))
            node = target
        return node

    def _choose(self, part: Choice, node: int) -> int:
        ends = [self._follow(reading, self._after(node)) for reading in part.readings]
        joint = self._node()
        for end in ends:
            self.silent[end].append(joint)
        return joint

    def _after(self, node: int) -> int:
        target = self._node()
        self.silent[node].append(target)
        return target

    def _node(self) -> int:
        self.steps.append([])
        self.silent.append([])
        return len(self.steps) - 1
