"""A lattice of readings as an acyclic automaton of letters, small enough to be searched whole.

Readings share their first letters and their last ones, so that a number with a hundred readings has
a few hundred letters. Nodes are in topological order: every step goes to a higher number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from ttsrl.text.lattice import Choice, Reading

Label = tuple[str, bool]
"""A letter, and whether a word begins with it."""


@dataclass
class Automaton:
    """Node 0 is the start; a path from there to one of `ends` spells a reading."""

    steps: list[list[tuple[Label, int]]]
    """Node -> its letters, each with the next node; those of usual readings first."""
    ends: frozenset[int]

    @cached_property
    def before(self) -> list[list[tuple[int, str, bool]]]:
        """Node -> (node, letter, whether a word begins) of the steps to it."""
        before: list[list[tuple[int, str, bool]]] = [[] for _ in self.steps]
        for node, steps in enumerate(self.steps):
            for (letter, begins), target in steps:
                before[target].append((node, letter, begins))
        return before

    @cached_property
    def passed(self) -> tuple[list[int], list[int]]:
        """Fewest and most letters from the start to each node."""
        least, most = [0], [0]
        for before in self.before[1:]:
            least.append(min(least[node] for node, _, _ in before) + 1)
            most.append(max(most[node] for node, _, _ in before) + 1)
        return least, most

    @cached_property
    def left(self) -> tuple[list[int], list[int]]:
        """Fewest and most letters from each node to an end."""
        least, most = [0] * len(self.steps), [0] * len(self.steps)
        for node in reversed(range(len(self.steps))):
            targets = [target for _, target in self.steps[node]]
            if targets:
                shortest = min(least[target] for target in targets) + 1
                least[node] = 0 if node in self.ends else shortest
                most[node] = max(most[target] for target in targets) + 1
        return least, most


@lru_cache(maxsize=1_024)
def automaton(reading: Reading) -> Automaton:
    """The automaton of a reading, with nodes merged that have the same way on, or to them."""
    written = _Writer()
    ends = frozenset(written.follow(reading, (0,)))
    return _numbered(_by_way_to(*_by_way_on(written.steps, ends)))


@dataclass
class _Writer:
    """Steps of all readings, none of them shared."""

    steps: list[list[tuple[Label, int]]] = field(default_factory=lambda: [[]])

    def follow(self, reading: Reading, nodes: Iterable[int]) -> Iterable[int]:
        """Write a reading behind the nodes; where it ends."""
        for part in reading:
            if isinstance(part, Choice):
                ends = (end for one in part.readings for end in self.follow(one, nodes))
                nodes = tuple(dict.fromkeys(ends))
            else:
                for word in part.split(" "):
                    for at, letter in enumerate(word):
                        nodes = self._step((letter, at == 0), nodes)
        return nodes

    def _step(self, label: Label, nodes: Iterable[int]) -> tuple[int]:
        self.steps.append([])
        target = len(self.steps) - 1
        for node in nodes:
            self.steps[node].append((label, target))
        return (target,)


def _by_way_on(
    steps: Sequence[Iterable[tuple[Label, int]]], ends: frozenset[int]
) -> tuple[dict[int, list[tuple[Label, int]]], frozenset[int]]:
    """One node for all from which the same can follow."""
    same: dict[tuple[bool, frozenset[tuple[Label, int]]], int] = {}
    kept_as: dict[int, int] = {}
    kept: dict[int, list[tuple[Label, int]]] = {}
    for node in reversed(range(len(steps))):
        onward = list(dict.fromkeys((label, kept_as[target]) for label, target in steps[node]))
        kept_as[node] = same.setdefault((node in ends, frozenset(onward)), node)
        if kept_as[node] == node:
            kept[node] = onward
    return kept, frozenset(kept_as[end] for end in ends)


def _by_way_to(
    steps: dict[int, list[tuple[Label, int]]], ends: frozenset[int]
) -> tuple[dict[int, list[tuple[Label, int]]], frozenset[int]]:
    """One node for all that are reached in the same ways."""
    ways: dict[int, set[tuple[int, Label]]] = {}
    same: dict[frozenset[tuple[int, Label]], int] = {}
    kept_as: dict[int, int] = {}
    kept: dict[int, list[tuple[Label, int]]] = {}
    for node in sorted(steps):
        as_node = same.setdefault(frozenset(ways.get(node, ())), node)
        kept_as[node] = as_node
        kept.setdefault(as_node, []).extend(steps[node])
        for label, target in steps[node]:
            ways.setdefault(target, set()).add((as_node, label))
    merged = {
        node: list(dict.fromkeys((label, kept_as[target]) for label, target in onward))
        for node, onward in kept.items()
    }
    return merged, frozenset(kept_as[end] for end in ends)


def _numbered(
    merged: tuple[dict[int, list[tuple[Label, int]]], frozenset[int]],
) -> Automaton:
    steps, ends = merged
    number = {node: n for n, node in enumerate(sorted(steps))}
    numbered = [
        [(label, number[target]) for label, target in steps[node]] for node in sorted(steps)
    ]
    return Automaton(numbered, frozenset(number[end] for end in ends))
