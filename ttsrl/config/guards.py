"""What keeps a run from learning to fool its reward."""

from __future__ import annotations

from typing import Annotated, Literal

from ttsrl.base import Strict
from ttsrl.facts import DataPath


class GuardsConfig(Strict):
    """What is checked of a reward before a run starts, and of the run while it trains."""

    audit: Literal["refuse", "warn", "off"] = "refuse"
    """What `ttsrl train` does about a reward that pays a spoiled recording as much as its clean
    twin. The service is asked once per specification. off: it is not asked."""
    audit_clips: Annotated[str | None, DataPath()] = None
    """Clean recordings with their texts, at least two, as `ttsrl encode` reads them; null: clips
    that come with ttsrl, of English read by a person."""
    audit_allows: list[str] = []
    """Ways of spoiling that may be paid as much, by their names in docs/rewards.md."""
