"""What a tracker shows of a run beside its figures."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ttsrl.config.load import config_hash
from ttsrl.config.schema import RunConfig
from ttsrl.evaluation.report.provenance import provenance
from ttsrl.records.tracking import TrackerState
from ttsrl.storage.run_store import RunStore
from ttsrl.tracking.base import About


def about(run: RunConfig, store: RunStore, state: TrackerState) -> About:
    """The run as it is now, on this machine. After a rollback its name says so."""
    facts = {name: value for name, value in provenance(run).items() if name != "written"}
    if revision := _revision_here():
        facts["git revision of the working directory"] = revision
    reward = store.storage.read_json(store.reward_json) or {}
    facts |= {
        "reward specification": str(reward.get("spec_hash", "")),
        "configuration SHA-256": config_hash(run),
        "storage": store.storage.address(store.run_json).removesuffix("/run.json"),
    }
    return About(
        state.id,
        f"{run.name}-rollback-{state.rollbacks}" if state.rollbacks else run.name,
        run.model_dump(mode="json"),
        {name: value for name, value in facts.items() if value},
    )


def _revision_here() -> str:
    """The commit of the user's own checkout, marked where files differ; nothing outside of one."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path.cwd(),
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return described.stdout.strip()
