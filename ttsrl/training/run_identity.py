"""Whether a name belongs to this run: one name, one configuration, one reward."""

from __future__ import annotations

from ttsrl.config.diff import describe
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.facts import OnResume, Setting, dump_where
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
    if differs := describe(dump_where(theirs, _is_fixed), dump_where(run, _is_fixed)):
        raise BadInput(
            f"run {run.name!r} in {run.storage} has another configuration: {differs}; give this "
            "run another name"
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
            f"{describe(theirs.specification, spec.specification)}; serve the run's own models "
            "and release, or give this run another name"
        )


def _is_fixed(setting: Setting) -> bool:
    """Whether it decides weights of the steps that are done: a resumed run has it as it was."""
    decided = setting.fact(OnResume)
    return decided is None or not decided.may_change
