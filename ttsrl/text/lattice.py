"""Readings of a written text, as a small lattice: what each part of it may sound like.

"$5" is said "five dollars" or "five dollar"; "1984" is a number, a year or four digits. A reading
is a sequence of parts; a part is a string, or a `Choice` between readings. The first reading of
every choice is the usual one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

MOST_EXPANSIONS = 4_096
"""Of one choice, when its readings are listed one by one; `ttsrl.text.nearest` follows all."""


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
