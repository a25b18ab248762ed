"""Whose name a run's is: one name, one configuration, one reward."""

from __future__ import annotations

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.reward.specification import difference
from ttsrl.storage.run_store import RunStore
from ttsrl.wire import ServiceSpec

MAY_CHANGE = {
    "storage": True,
    "eval": True,
    "reward": {
        "url",
        "token_file",
        "batch_size",
        "workers",
        "queue_size",
        "sample_deadline_s",
        "scorer_deadline_s",
        "worker_deadline_s",
    },
    "rollout": {"gpu_memory_utilization"},
    "train": {
        "steps",
        "save_every",
        "max_checkpoints",
        "step_deadline_s",
        "metrics_port",
        "max_generation_batches",
    },
}
"""Fields that a resumed run may set anew: they decide no weight of the steps already done."""


def check_run_identity(run: RunConfig, store: RunStore) -> None:
    """Write the resolved configuration beside what the run publishes, or find it there.

    Raises BadInput where the name belongs to a run of another configuration.
    """
    published = store.storage.read_json(store.run_json)
    if published is None:
        store.storage.write_json(store.run_json, run.model_dump(mode="json"))
        return
    theirs = RunConfig.model_validate(published).model_dump(exclude=MAY_CHANGE)
    ours = run.model_dump(exclude=MAY_CHANGE)
    for section in ours:
        if ours[section] != theirs[section]:
            raise BadInput(
                f"run {run.name!r} in {run.storage} has another {section}: "
                f"{_difference(theirs[section], ours[section])}; give this run another name"
            )


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
            f"{difference(theirs.specification, spec.specification)}; serve the run's own models "
            "and release, or give this run another name"
        )


def _difference(theirs: object, ours: object) -> str:
    if isinstance(theirs, dict) and isinstance(ours, dict):
        keys = sorted(k for k in {*ours, *theirs} if ours.get(k) != theirs.get(k))
        return ", ".join(f"{k} is {theirs.get(k)!r} there, {ours.get(k)!r} here" for k in keys)
    return f"{theirs!r} there, {ours!r} here"
