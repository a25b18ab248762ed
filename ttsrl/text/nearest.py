"""Of two lattices, the readings that are nearest to each other: exact, however many there are.

The edit distance of two acyclic automata (Mohri, "Edit-distance of weighted automata", 2003), by a
dynamic programme over pairs of their nodes. It looks at pairs that at most so many errors can
reach, and at more of them until a path is found (Ukkonen, "Algorithms for approximate string
matching", 1985).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from ttsrl.text.automaton import Automaton, automaton
from ttsrl.text.lattice import Choice, Reading, first

ERROR = 1 << 20
"""Cost of a wrong letter; a word that begins in one text only costs 1."""
NEVER = 1 << 60
Costs = NDArray[np.int64]
FIRST_LIMIT = 8
"""Errors that are looked for at first; then `WIDER` times as many."""
WIDER = 4


def nearest(said: Reading, heard: Reading) -> tuple[str, str]:
    """The reading of each that has the fewest letters other than the other's.

    Of several such pairs, one with the fewest words that begin in one of them only. The usual
    reading of `said`, twice, if the texts can sound the same.
    """
    if not _has_choice(said) and not _has_choice(heard):
        return first(said), first(heard)
    start, end = _shared(said, heard)
    before, after = first(said[:start]), first(said[len(said) - end :])
    said, heard = said[start : len(said) - end], heard[start : len(heard) - end]
    one, other = automaton(said), automaton(heard)
    usual = first(said)
    texts = (usual, usual) if same_sound(one, other) else _search(one, other)
    return _join(before, texts[0], after), _join(before, texts[1], after)


def same_sound(one: Automaton, other: Automaton) -> bool:
    """Whether the two have a reading in common, spaces aside."""
    seen = {(0, 0)}
    todo = [(0, 0)]
    while todo:
        a, b = todo.pop()
        if a in one.ends and b in other.ends:
            return True
        for (letter, _), to_a in one.steps[a]:
            for (same, _), to_b in other.steps[b]:
                if letter == same and (to_a, to_b) not in seen:
                    seen.add((to_a, to_b))
                    todo.append((to_a, to_b))
    return False


def _search(one: Automaton, other: Automaton) -> tuple[str, str]:
    limit = FIRST_LIMIT
    columns = _Columns(other)
    while True:
        table = _Table(one, columns, limit)
        if (found := table.end()) is not None:
            return table.way_to(*found)
        limit *= WIDER


class _Columns:
    """The second automaton, with its steps in arrays, sorted by the node to which they lead."""

    def __init__(self, automaton: Automaton) -> None:
        self.automaton = automaton
        # the start has a step that cannot be taken, so that every node has one
        steps = [[(0, "", False)], *automaton.before[1:]]
        self.first_step = np.cumsum([0, *map(len, steps)])
        self.came = np.array([came for into in steps for came, _, _ in into])
        self._letters = np.array([letter for into in steps for _, letter, _ in into])
        self._begins = np.array([begins for into in steps for _, _, begins in into])
        self.left_out = [[(came, ERROR + word) for came, _, word in into] for into in steps]
        self._costs: dict[tuple[str, bool], Costs] = {}

    def costs(self, letter: str, begins: bool) -> Costs:
        """What each step costs beside one of the first automaton."""
        if (costs := self._costs.get((letter, begins))) is None:
            costs = ERROR * (self._letters != letter) + (self._begins != begins)
            costs[0] = NEVER
            self._costs[letter, begins] = costs
        return costs


class _Table:
    """Costs of the pairs of nodes that `limit` errors can reach, and from which they suffice."""

    def __init__(self, one: Automaton, columns: _Columns, limit: int) -> None:
        self.one, self.other, self.limit = one, columns.automaton, limit
        self._columns = columns
        self.costs: list[Costs] = []
        for node, (low, high) in enumerate(_bands(one, self.other, limit)):
            self.costs.append(self._row(node, low, max(low, high)))

    def _row(self, node: int, low: int, high: int) -> Costs:
        """Costs of one node of the first automaton with each of the second."""
        columns = self._columns
        row = np.full(len(self.other.steps), NEVER)
        if node == 0:
            row[0] = 0
        if low == high:
            return row
        steps = slice(columns.first_step[low], columns.first_step[high])
        starts = columns.first_step[low:high] - steps.start
        came = columns.came[steps]
        best = row[low:high]
        for above, letter, begins in self.one.before[node]:
            costs = self.costs[above]
            both = costs[came] + columns.costs(letter, begins)[steps]
            best = np.minimum(best, np.minimum.reduceat(both, starts))
            best = np.minimum(best, costs[low:high] + (ERROR + begins))
        row[low:high] = self._along(low, best.tolist())
        return row

    def _along(self, low: int, costs: list[int]) -> list[int]:
        """The same with steps of the second automaton alone."""
        row = [NEVER] * low + costs
        for at, steps in enumerate(self._columns.left_out[low : len(row)], low):
            cost = row[at]
            for came, left_out in steps:
                if row[came] + left_out < cost:
                    cost = row[came] + left_out
            row[at] = cost
        return row[low:]

    def end(self) -> tuple[int, int] | None:
        """The pair of ends with the lowest cost; None if it has more errors than the limit."""
        pairs = ((a, b) for a in sorted(self.one.ends) for b in sorted(self.other.ends))
        a, b = min(pairs, key=lambda pair: int(self.costs[pair[0]][pair[1]]))
        return (a, b) if self.costs[a][b] < (self.limit + 1) * ERROR else None

    def way_to(self, a: int, b: int) -> tuple[str, str]:
        """The readings of the path to a pair of nodes."""
        said: list[str] = []
        heard: list[str] = []
        while (a, b) != (0, 0):
            came_a, came_b, mine, theirs = next(self._steps_to(a, b))
            said.append(mine)
            heard.append(theirs)
            a, b = came_a, came_b
        return "".join(reversed(said)).lstrip(), "".join(reversed(heard)).lstrip()

    def _steps_to(self, a: int, b: int) -> Iterator[tuple[int, int, str, str]]:
        """The nodes before, and what is written from there: steps that have led to this cost."""
        cost = self.costs[a][b]
        for came_a, letter, begins in self.one.before[a]:
            for came_b, other, word in self.other.before[b]:
                step = (begins != word) + (ERROR if letter != other else 0)
                if self.costs[came_a][came_b] + step == cost:
                    yield came_a, came_b, _written(letter, begins), _written(other, word)
        for came, letter, begins in self.one.before[a]:
            if self.costs[came][b] + ERROR + begins == cost:
                yield came, b, _written(letter, begins), ""
        for came, letter, begins in self.other.before[b]:
            if self.costs[a][came] + ERROR + begins == cost:
                yield a, came, "", _written(letter, begins)


def _bands(one: Automaton, other: Automaton, limit: int) -> Iterator[tuple[int, int]]:
    """For each node of the first, the nodes of the second that a path of the limit may meet.

    Each letter that one has passed, or has left, beyond what the other can have costs an error.
    """
    least, most = other.passed
    shortest, longest = other.left
    most_so_far = list(accumulate(most, max))
    shortest_so_far = [-n for n in accumulate(shortest, min)]
    least_from = list(accumulate(reversed(least), min))[::-1]
    longest_from = [-n for n in list(accumulate(reversed(longest), max))[::-1]]
    for node in range(len(one.steps)):
        low = max(
            bisect_left(most_so_far, one.passed[0][node] - limit),
            bisect_left(shortest_so_far, -(one.left[1][node] + limit)),
        )
        high = min(
            bisect_right(least_from, one.passed[1][node] + limit),
            bisect_right(longest_from, limit - one.left[0][node]),
        )
        yield low, high


def _written(letter: str, begins: bool) -> str:
    return " " * begins + letter


def _has_choice(reading: Reading) -> bool:
    return any(isinstance(part, Choice) for part in reading)


def _shared(one: Reading, other: Reading) -> tuple[int, int]:
    """Numbers of words that the two have in common at the start, and at the end of the rest."""
    most = min(len(one), len(other))
    start = _equal_words(one[:most], other[:most])
    most -= start
    end = _equal_words(one[::-1][:most], other[::-1][:most])
    return start, end


def _equal_words(one: Sequence[str | Choice], other: Sequence[str | Choice]) -> int:
    """An equal choice may be read in two ways, and what follows makes up for it: it stays."""
    pairs = zip(one, other, strict=True)
    equal = (a == b and isinstance(a, str) for a, b in pairs)
    return next((n for n, is_equal in enumerate(equal) if not is_equal), min(len(one), len(other)))


def _join(*texts: str) -> str:
    return " ".join(text for text in texts if text)
