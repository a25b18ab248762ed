"""RunConfig: the only configuration of a run. Importing it loads no torch.

A run is written down once, as JSON: on a laptop in a file, in a cluster in the ConfigMap that Helm
renders from `run:` in its values. Secrets are never part of it.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from ttsrl.base import Strict
from ttsrl.config.data import DataConfig
from ttsrl.config.dpo import DpoConfig
from ttsrl.config.evaluation import EvalConfig
from ttsrl.config.guards import GuardsConfig
from ttsrl.config.models import split_revision
from ttsrl.config.tracking import NamedTracker, each_once
from ttsrl.config.training import RolloutConfig, TrainConfig
from ttsrl.facts import (
    Adjustable,
    Fixed,
    InReward,
    ModelPath,
    StorageAddress,
    models_in,
)
from ttsrl.families.conditions import PromptConfig
from ttsrl.families.registry import FAMILIES, known_family
from ttsrl.reward.config import RewardConfig, without_unheard_whisper
from ttsrl.wire import RUN_NAME

Plain = str | int | float | bool


class RunConfig(Strict):
    """One run: everything that decides its result."""

    name: Fixed[str] = Field(pattern=RUN_NAME)
    """Name of the run: its Helm release, its storage prefix, its local folder."""
    seed: Fixed[int] = Field(default=0, ge=0)
    family: Annotated[
        Fixed[str],
        AfterValidator(known_family),
        Field(json_schema_extra={"enum": [*FAMILIES]}),
    ] = "llasa"
    """Line of speech models that the policy is of: its prompt and its tokens."""
    languages: Fixed[list[str]] = []
    """ISO 639-1 codes that the policy speaks; empty: those of its family's published models."""
    model: Annotated[Fixed[str], ModelPath("policy")]
    """Policy to start from: a folder, relative to this file, or a Hugging Face id."""
    codec: Annotated[Fixed[str], ModelPath("codec"), InReward("digest")]
    """Codec of the policy's speech tokens: a folder, relative to this file, or an id."""
    voice: Annotated[Fixed[str | None], ModelPath("voice"), InReward("digest")] = None
    """Voice that CosyVoice2's codec speaks in: a recording of 0.5 to 30 s beside this file, or
    the name of a speaker in its spk2info.pt. Other codecs have none."""
    prompt: Fixed[PromptConfig] = PromptConfig()
    data: Fixed[DataConfig]
    rollout: RolloutConfig = RolloutConfig()
    train: TrainConfig
    dpo: Fixed[DpoConfig | None] = None
    """Learn from pairs of utterances instead of from rollouts; null: GRPO."""
    reward: Annotated[RewardConfig, AfterValidator(without_unheard_whisper)]
    eval: Adjustable[EvalConfig]
    guards: Adjustable[GuardsConfig] = GuardsConfig()
    trackers: Annotated[Adjustable[list[NamedTracker]], AfterValidator(each_once)] = []
    """Trackers that the run is told to beside its own log: their names, or each with its options.
    [] is none."""
    storage: Annotated[Adjustable[str], StorageAddress()] = "storage"
    """Where the run is published: `s3://bucket/prefix`, or a folder."""
    verl: Fixed[dict[str, Plain | list[Plain]]] = {}
    """verl's own keys, passed through; a value may be a list. They may not contradict the keys
    that ttsrl sets."""

    @property
    def micro_batch_tokens(self) -> int:
        """Most tokens of a forward pass on one GPU."""
        return self.train.max_tokens_per_micro_batch or 4 * self.rollout.longest

    @model_validator(mode="after")
    def _gdpo_has_components(self) -> Self:
        weighted = list(self.reward.weights)
        if self.train.advantage == "gdpo" and len(weighted) < 2:
            raise ValueError(
                'train.advantage = "gdpo" compares components one by one, and only '
                f"{weighted[0]!r} has a weight: give another component a weight, or use "
                'train.advantage = "grpo"'
            )
        return self

    @model_validator(mode="after")
    def _pairs_are_learned_on_one_device(self) -> Self:
        t = self.train
        if self.dpo is not None and t.asynchronous is not None:
            raise ValueError("dpo has no rollouts to generate: leave train.asynchronous out")
        if self.dpo is not None and (t.lora is not None or t.gpus_per_node * t.nodes > 1):
            raise ValueError(
                "dpo trains all weights on one device: leave train.lora out, and set "
                "train.gpus_per_node and train.nodes to 1"
            )
        return self

    @model_validator(mode="after")
    def _pairs_have_no_rollouts(self) -> Self:
        asked = {
            "guards.rules": self.guards.rules,
            "trackers": self.trackers,
            "eval.during_training": self.eval.during_training,
        }
        if self.dpo is not None and (unused := [key for key, value in asked.items() if value]):
            raise ValueError(
                f"dpo learns from pairs, without rollouts and checkpoints, and {unused[0]} needs "
                f"them: leave {' and '.join(unused)} out"
            )
        return self

    @model_validator(mode="after")
    def _batches_divide(self) -> Self:
        t = self.train
        if t.prompts_per_step % t.updates_per_step:
            raise ValueError(
                f"train.prompts_per_step = {t.prompts_per_step} is not divisible by "
                f"train.updates_per_step = {t.updates_per_step}"
            )
        rollouts = t.prompts_per_step // t.updates_per_step * self.rollout.group_size
        if rollouts % t.ranks:
            apart = " - asynchronous.rollout_gpus_per_node" if t.asynchronous else ""
            each = f"(train.gpus_per_node{apart})" if apart else "train.gpus_per_node"
            raise ValueError(
                f"{rollouts} rollouts an update (prompts_per_step / updates_per_step x group_size) "
                f"are not divisible by {t.ranks} GPUs ({each} x train.nodes)"
            )
        if self.micro_batch_tokens < self.rollout.longest:
            raise ValueError(
                f"train.max_tokens_per_micro_batch = {t.max_tokens_per_micro_batch} cannot hold "
                f"one rollout: its prompt and speech may have {self.rollout.longest} tokens "
                "(rollout.max_prompt_tokens + max_speech_tokens); raise it, or lower one of them"
            )
        return self

    @model_validator(mode="after")
    def _quality_did_not_reward(self) -> Self:
        rewarded = {
            (one.type, getattr(one, "served_model", None)) for one in self.reward.components
        }
        for one in self.eval.quality:
            asked = one.type, getattr(one, "served_model", None)
            if asked in rewarded and not one.used_in_reward:
                raise ValueError(
                    f"eval.quality {one.type!r} is a component of the reward: use another model, "
                    "or say used_in_reward to show its number all the same"
                )
        return self

    @model_validator(mode="after")
    def _style_judges_did_not_reward(self) -> Self:
        rewarding = {one.type for one in self.reward.components}
        models = {split_revision(model)[0] for model in models_in(self, "scorer").values()}
        for judge in self.eval.styles:
            model = None if judge.type == "measure" else split_revision(judge.model)[0]
            same = judge.measure in rewarding if judge.type == "measure" else model in models
            if same and not judge.used_in_reward:
                raise ValueError(
                    f"eval.styles {judge.name!r} is what gives the reward: let another model or "
                    "measure judge, or say used_in_reward to show its number all the same"
                )
        return self

    @model_validator(mode="after")
    def _judges_did_not_reward(self) -> Self:
        rewarded = {
            split_revision(model)[0]: key
            for key, model in reversed(models_in(self, "scorer").items())
        }
        of_suites = [(s, s.judges_in(self.eval.judges)) for s in self.eval.suites]
        for suite, judges in [(None, self.eval.judges), *of_suites]:
            for judge in judges:
                judge_id, _ = split_revision(judge.model)
                if judge_id in rewarded and not judge.used_in_reward:
                    raise ValueError(
                        f"eval judge {judge.name!r}{f' of suite {suite.name!r}' if suite else ''} "
                        f"is {judge.model}, the model that gives the reward "
                        f"({rewarded[judge_id]}); use another model, or name it among the "
                        "judges with used_in_reward to show its number all the same"
                    )
        return self
