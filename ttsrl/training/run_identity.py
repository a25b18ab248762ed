"""Whether a name belongs to this run: one name, one configuration, one reward."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ttsrl.config.diff import describe
from ttsrl.config.models import split_revision
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.models.recorded_run import differences
from ttsrl.models.revisions import pinned_run
from ttsrl.storage.run_store import RunStore
from ttsrl.wire import ServiceSpec


def check_run_identity(run: RunConfig, store: RunStore) -> None:
    """Write the resolved configuration beside what the run publishes, or find it there.

    Raises BadInput where the name belongs to a run of another configuration.
    """
    published = store.storage.read_json(store.run_json)
    if published is None:
        store.storage.write_json(store.run_json, run.model_dump(mode="json"))
        return
    theirs = RunConfig.model_validate(published)
    if differs := differences(theirs, run):
        raise BadInput(
            f"run {run.name!r} in {run.storage} has another configuration: {differs}; give this "
            "run another name"
        )
    if split_revision(theirs.model)[1] is None and theirs.model != run.model:
        # recorded by a release that knew no commits: from now on it stays at this one
        store.storage.write_json(store.run_json, published | {"model": run.model})


def at_recorded_commit(run: RunConfig, store: RunStore) -> RunConfig:
    """The run with its policy at the commit that it began with; at the newest where it begins.

    Raises BadInput.
    """
    if Path(run.model).exists():
        return run
    began_with = str((store.storage.read_json(store.run_json) or {}).get("model", ""))
    known = {"model": began_with} if split_revision(began_with)[1] else {}
    return pinned_run(run, known, "policy")


def check_reward_identity(run: RunConfig, spec: ServiceSpec, store: RunStore) -> None:
    """Write what the reward service measures beside what the run publishes, or find it there.

    Raises BadInput where the run began with rewards of another specification: they do not compare.
    """
    published = store.storage.read_json(store.reward_json)
    if published is None:
        store.storage.write_json(store.reward_json, spec.model_dump(mode="json"))
        return
    theirs = ServiceSpec.model_validate(published)
    if theirs.spec_hash != spec.spec_hash:
        raise BadInput(
            f"run {run.name!r} in {run.storage} began with rewards of specification "
            f"{theirs.spec_hash}, and {run.reward.url} measures {spec.spec_hash}: "
            f"{describe(theirs.specification, spec.specification)}; "
            f"{_way_back(theirs.models, spec.models)}, or give this run another name"
        )


def _way_back(began_with: Mapping[str, str], served: Mapping[str, str]) -> str:
    moved = [
        f"{key} = {model} (it serves {served[key]})"
        for key, model in began_with.items()
        if served.get(key, model) != model
    ]
    return f"serve {', '.join(moved)}" if moved else "serve the run's own models and release"
