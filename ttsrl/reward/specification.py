"""A reward specification: all that decides a reward, and the hash that names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, cast

from ttsrl.reward.config import RewardConfig

PLACES = {"model", "voices", "encoder"}
"""Fields of components that say where something lies; what lies there is named by its digest."""


def configured(reward: RewardConfig) -> dict[str, Any]:
    """The part of the specification that a run's configuration decides by itself."""
    whisper = reward.whisper
    return {
        "whisper_mode": whisper.mode,
        "whisper_engine": whisper.engine,
        "whisper_window": whisper.window,
        "components": {
            c.type: c.model_dump(mode="json", exclude={"type", *PLACES}) for c in reward.components
        },
        "composition": reward.composition,
        "gates": reward.gates.model_dump(mode="json"),
    }


def hash_of(specification: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(specification, sort_keys=True).encode()).hexdigest()


def difference(theirs: Mapping[str, Any], ours: Mapping[str, Any], of: str = "") -> str:
    """What differs, `key is X there, Y here`, keys of nested parts with dots; empty if nothing."""
    found: list[str] = []
    for key in sorted({*theirs, *ours}):
        a, b = theirs.get(key), ours.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            nested = cast(Mapping[str, Any], a), cast(Mapping[str, Any], b)
            found.append(difference(*nested, f"{of}{key}."))
        elif a != b:
            found.append(f"{of}{key} is {json.dumps(a)} there, {json.dumps(b)} here")
    return ", ".join(filter(None, found))
