"""A reward specification: all that decides a reward, and the hash that names it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ttsrl.facts import InReward, Setting, dump_where
from ttsrl.reward.config import RewardConfig


def configured(reward: RewardConfig) -> dict[str, Any]:
    """The part of the specification that a run's configuration decides by itself: every setting
    that decides a reward by its value."""
    decided = dump_where(reward, _decides_by_value)
    whisper = {f"whisper_{name}": value for name, value in decided.pop("whisper", {}).items()}
    components = {component.pop("type"): component for component in decided.pop("components")}
    return {**whisper, "components": components, **decided}


def hash_of(specification: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(json.dumps(specification, sort_keys=True).encode()).hexdigest()


def _decides_by_value(setting: Setting) -> bool:
    return setting.fact(InReward) == InReward("value")
