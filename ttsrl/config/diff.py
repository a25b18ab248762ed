"""What differs between two configurations, or two reward specifications."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from ttsrl.errors import shorten
from ttsrl.facts import Key, show

LONGEST_VALUE = 200
"""Characters of a value that are shown; a digest has 64."""
_NOT_SET: Final = object()


@dataclass(frozen=True)
class Difference:
    """One value that two configurations do not share."""

    key: Key
    theirs: Any
    ours: Any

    def __str__(self) -> str:
        return f"{show(self.key)} is {_shown(self.theirs)} there, {_shown(self.ours)} here"


def differences(theirs: Any, ours: Any, key: Key = ()) -> Iterator[Difference]:
    """The values that differ in two pieces of JSON; lists of objects are compared one by one."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        a, b = cast("Mapping[str, Any]", theirs), cast("Mapping[str, Any]", ours)
        for name in sorted({*a, *b}):
            yield from differences(a.get(name, _NOT_SET), b.get(name, _NOT_SET), (*key, name))
    elif _are_objects(theirs) and _are_objects(ours) and len(theirs) == len(ours):
        for n, (c, d) in enumerate(zip(theirs, ours, strict=True)):
            yield from differences(c, d, (*key, n))
    elif theirs != ours:
        yield Difference(key, theirs, ours)


def describe(theirs: Any, ours: Any, most: int | None = None) -> str:
    """`train.steps is 3 there, 4 here; ...`, at most so many; empty where nothing differs."""
    found = [str(difference) for difference in differences(theirs, ours)]
    more = len(found) - most if most is not None else 0
    return "; ".join(found[:most]) + (f"; and {more} more" if more > 0 else "")


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, Mapping) for item in cast("list[object]", value)
    )


def _shown(value: object) -> str:
    return "not set" if value is _NOT_SET else shorten(value, LONGEST_VALUE)
