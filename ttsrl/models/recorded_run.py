"""Whether a run is the one that storage knows under its name."""

from __future__ import annotations

from ttsrl.config.diff import describe
from ttsrl.config.schema import RunConfig
from ttsrl.facts import OnResume, Setting, dump_where
from ttsrl.models.revisions import without_known_revisions


def differences(recorded: RunConfig, run: RunConfig) -> str:
    """What decides weights and is not as it was recorded, in words; empty for the same run."""
    return describe(
        dump_where(without_known_revisions(recorded, run), _is_fixed),
        dump_where(without_known_revisions(run, recorded), _is_fixed),
    )


def _is_fixed(setting: Setting) -> bool:
    """Whether it decides weights of the steps that are done: a resumed run has it as it was."""
    decided = setting.fact(OnResume)
    return decided is None or not decided.may_change
