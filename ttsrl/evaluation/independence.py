"""A judge that is the model of the reward under another name: its weights tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ttsrl.config.evaluation import JudgeConfig
from ttsrl.config.schema import RunConfig
from ttsrl.config.style_judges import ClapStyleJudge, ClassifierStyleJudge, MeasuredStyleJudge
from ttsrl.errors import BadInput
from ttsrl.facts import models_in
from ttsrl.models.hub import weight_digests
from ttsrl.reward.components import Preference
from ttsrl.scorers.preference import FACTS, load_head

Listening = JudgeConfig | ClassifierStyleJudge | ClapStyleJudge
"""What may not be the reward's own model."""


def check_independent(run: RunConfig, judges: Sequence[JudgeConfig]) -> None:
    """Refuse a judge, also one of styles, that has a weight file of the reward and does not say so.

    `RunConfig` has compared the names. A model of the reward that is not on this machine is not
    fetched for this. Raises BadInput.
    """
    rewarded = {
        digest: key
        for key, model in _scorers(run)
        for digest in weight_digests(model, download=False)
    }
    of_styles = (one for one in run.eval.styles if not isinstance(one, MeasuredStyleJudge))
    listening: list[Listening] = [*judges, *of_styles]
    for judge in listening:
        if judge.used_in_reward or not rewarded:
            continue
        shared = rewarded.keys() & weight_digests(judge.model)
        if shared:
            raise BadInput(
                f"judge {judge.name!r} ({judge.model}) has the weights of the model that gives the "
                f"reward ({rewarded[min(shared)]}); use another model, or set used_in_reward to "
                "show its number all the same"
            )


def _scorers(run: RunConfig) -> Iterator[tuple[str, str]]:
    """(key, model) of every model of the reward, also of an encoder that only its head names."""
    yield from models_in(run, "scorer").items()
    for n, component in enumerate(run.reward.components):
        if isinstance(component, Preference) and component.encoder is None:
            head = Path(component.model)
            if (head / FACTS).is_file():
                yield f"reward.components[{n}].model", load_head(head).facts.encoder
