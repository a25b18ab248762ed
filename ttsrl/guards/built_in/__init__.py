"""The guards that every run has, one file for each way in which training goes wrong."""

from __future__ import annotations

from ttsrl.config.guard_rules import GuardRule
from ttsrl.guards.built_in import (
    adaptation,
    collapse,
    duration,
    end_token,
    entropy,
    failed,
    finite,
    gated,
    held_out,
    kl,
    likelihood,
    pitch,
    quality,
    rate,
    rollout_kl,
    voicing,
)

BUILT_IN: dict[str, GuardRule] = {
    rule.name: rule
    for file in (
        end_token,
        rate,
        duration,
        pitch,
        voicing,
        quality,
        gated,
        failed,
        collapse,
        entropy,
        kl,
        rollout_kl,
        likelihood,
        finite,
        held_out,
        adaptation,
    )
    for rule in file.GUARDS
}
"""Name -> guard."""
