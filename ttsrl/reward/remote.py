"""Configuration that all components have which ask another program."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from ttsrl.base import Strict
from ttsrl.facts import InReward


class RemoteProgram(Strict):
    """A program behind an address, which measures in our place."""

    url: Annotated[str, InReward("not")]
    """Its address."""
    served_model: str = Field(min_length=1)
    """What measures there."""
    key_variable: Annotated[str | None, InReward("not")] = None
    """Environment variable with the server's key; null: it asks for none."""
    deadline_s: Annotated[float, InReward("not")] = Field(gt=0)
    """Longest wait."""
    retries: Annotated[int, InReward("not")] = Field(default=2, ge=0)
    """Further attempts after an outage, a time-out or "too many requests"."""
    concurrency: Annotated[int, InReward("not")] = Field(default=8, ge=1)
    """Requests under way at once."""

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is not an address; give one such as http://host:8000/path")
        return url
