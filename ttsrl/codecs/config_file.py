"""config.json of a codec that is ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from ttsrl.errors import BadInput, reason_of

Config = TypeVar("Config", bound=BaseModel)


def read_config(folder: Path, config: type[Config], kind: str) -> Config:
    """The configuration of a folder. Raises BadInput where it is not of this kind of codec."""
    file = folder / "config.json"
    try:
        return config.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise BadInput(f"{file} is not of a {kind}: {reason_of(error)}; copy it again") from error
