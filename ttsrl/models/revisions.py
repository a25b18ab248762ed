"""A run's models by id, each at one commit: what it was started with, for as long as it lives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ttsrl.config.models import split_revision
from ttsrl.config.schema import RunConfig
from ttsrl.facts import ModelPath, Setting, dump_where, models_in
from ttsrl.models.hub import pinned
from ttsrl.models.packaged import located
from ttsrl.reward.config import without_unheard_whisper

BY_ID = ("policy", "codec", "scorer", "judge", "speaker")
"""Roles of models that may be given by an id of Hugging Face."""


def pinned_run(run: RunConfig, known: Mapping[str, str], *roles: str) -> RunConfig:
    """The run with `id@commit` for every id that names no revision; of some roles, or of all.

    `known`: key -> model as it was recorded when the run began, which is taken as it is.
    Raises BadInput.
    """
    return _with_commits(run, models_in(run, *(roles or BY_ID)), known)


def pinned_reward(run: RunConfig, known: Mapping[str, str]) -> RunConfig:
    """`pinned_run` for what a reward service loads, and nothing else. Raises BadInput."""
    return _with_commits(run, models_of_reward(run), known)


def models_of_reward(run: RunConfig) -> dict[str, str]:
    """Key -> model of all that a reward service loads: what the digests of a specification are
    of."""
    run = run.model_copy(update={"reward": without_unheard_whisper(run.reward)})
    models = models_in(run).items()
    return {key: m for key, m in models if key == "codec" or key.startswith("reward.")}


def floating(models: Mapping[str, str]) -> list[str]:
    """Keys of the models whose commit may be another tomorrow: ids that name no revision."""
    return [
        key
        for key, model in models.items()
        if split_revision(model)[1] is None and not Path(located(model)).exists()
    ]


def without_known_revisions(run: RunConfig, other: RunConfig) -> RunConfig:
    """The run with an id alone where only one of the two names a revision of it: they agree."""
    theirs = models_in(other)

    def value(setting: Setting) -> object:
        beside = theirs.get(setting.name)
        if setting.fact(ModelPath) is None or beside is None or setting.value is None:
            return setting.value
        (ours, revision), (other_id, other_revision) = map(split_revision, (setting.value, beside))
        agree = ours == other_id and None in (revision, other_revision)
        return ours if agree else setting.value

    return RunConfig.model_validate(dump_where(run, lambda _: True, value))


def _with_commits(run: RunConfig, models: Mapping[str, str], known: Mapping[str, str]) -> RunConfig:
    commits = {key: _pinned(model, known.get(key)) for key, model in models.items()}
    if commits == models:
        return run
    raw = dump_where(run, lambda _: True, lambda s: commits.get(s.name, s.value))
    return RunConfig.model_validate(raw)


def _pinned(model: str, known: str | None) -> str:
    repository, revision = split_revision(model)
    is_recorded = known is not None and split_revision(known)[0] == repository
    if known is not None and is_recorded and revision is None and not Path(model).exists():
        return known
    return pinned(model)
