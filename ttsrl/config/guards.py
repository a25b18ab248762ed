"""What keeps a run from learning to fool its reward."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ttsrl.base import Strict
from ttsrl.config.guard_rules import GuardRule
from ttsrl.errors import did_you_mean
from ttsrl.facts import DataPath
from ttsrl.reward.audited import WAYS


def _known_way(name: str) -> str:
    if name not in WAYS:
        raise ValueError(f"the audit knows no {name!r}{did_you_mean(name, WAYS)}")
    return name


class GuardsConfig(Strict):
    """What is checked of a reward before a run starts, and of the run while it trains."""

    audit: Literal["refuse", "warn", "off"] = "refuse"
    """What `ttsrl train` does about a reward that pays a spoiled recording as much as its clean
    twin. The service is asked once per specification. off: it is not asked."""
    audit_clips: Annotated[str | None, DataPath()] = None
    """Clean recordings with their texts, at least two, as `ttsrl encode` reads them; null: clips
    that come with ttsrl, of English read by a person."""
    audit_allows: list[Annotated[str, AfterValidator(_known_way)]] = []
    """Ways of spoiling that may be paid as much, by their names in docs/rewards.md."""
    built_in: bool = True
    """Whether the guards of docs/guards.md watch the run beside those in `rules`."""
    rules: list[GuardRule] = []
    """Guards of one's own, and changes to built-in ones."""
    max_rollbacks: int = Field(default=2, ge=0)
    """How often a guard may set the run back; the next time it stops it."""
    rollback_learning_rate: float = Field(default=0.5, gt=0, le=1)
    """What each rollback multiplies the learning rate with."""
    base_steps: int = Field(default=3, ge=1)
    """First steps of the run, whose mean is what `against = "base"` compares with."""
    prosody_share: float = Field(default=0.25, ge=0, le=1)
    """Share of the rollouts whose pitch and voicing the reward service measures for the guards,
    where the reward does not have them; 5 ms of a CPU core per second of speech."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [rule.name for rule in self.rules]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two guards have the name {twice[0]!r}; keep one")
        return self
