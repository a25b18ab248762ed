"""Reading what the API answers: nested objects, of which any part may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]


def part(item: Object, *path: str) -> Object:
    """The object at a path; an empty one where there is none."""
    found: Any = item
    for key in path:
        found = found.get(key) or {}
    return found


def entries(item: Object, *path: str) -> list[Object]:
    """The list at a path; an empty one where there is none."""
    return part(item, *path[:-1]).get(path[-1]) or []


def labels_of(item: Object) -> Mapping[str, str]:
    """An object's labels."""
    return part(item, "metadata", "labels")


def condition(item: Object, kind: str) -> Object | None:
    """A condition of an object by its type."""
    return next((one for one in entries(item, "status", "conditions") if one["type"] == kind), None)
