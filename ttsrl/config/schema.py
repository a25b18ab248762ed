"""RunConfig: the only configuration of a run. Importing it loads no torch.

A run is written down once, as JSON: on a laptop in a file, in a cluster in the ConfigMap that Helm
renders from `run:` in its values. Secrets are never part of it.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from ttsrl.base import Strict
from ttsrl.config.models import split_revision
from ttsrl.facts import (
    Adjustable,
    DataPath,
    Fixed,
    InEvaluation,
    InReward,
    ModelPath,
    OfDeployment,
    StorageAddress,
    models_in,
)
from ttsrl.families.registry import FAMILIES, known_family
from ttsrl.reward.config import RewardConfig, without_unheard_whisper


class PrefixConfig(Strict):
    """Real speech with which training prompts begin, so that the policy continues it.

    The published recipe with prefixes is mair-hub's: 1 to 5 s, for every prompt.
    """

    column: str = "speech_tokens"
    """Key or column of the texts in which a recording's speech tokens stand."""
    min_s: float = Field(default=1.0, gt=0)
    max_s: float = Field(default=5.0, gt=0)
    """A prefix has a random length between these, in seconds of speech."""
    max_share: float = Field(default=0.5, gt=0, lt=1)
    """Most of its recording that a prefix may be: the rest is for the policy to say. A text whose
    recording is too short for `min_s` gets no prefix."""
    prompts_share: float = Field(default=1.0, gt=0, le=1)
    """Share of the training prompts that get a prefix."""
    tokens_per_s: float | None = Field(default=None, gt=0)
    """Rate of the speech tokens; null: what `ttsrl encode` has written into the texts' parquet."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.min_s > self.max_s:
            raise ValueError(f"min_s = {self.min_s:g} is more than max_s = {self.max_s:g}")
        return self


class DataConfig(Strict):
    """What to speak: texts, and how they are split."""

    texts: Annotated[str, DataPath()]
    """JSON lines with `text` and optional `language`, `id`, `style`, `speaker`, `label`; plain text
    (.txt, one text per line); parquet, a file or a folder of files; or a Hugging Face data set
    folder."""
    language: str = "en"
    """ISO 639-1 code of texts that name none."""
    held_out_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the texts kept for evaluation, chosen by a hash of the normalised text."""
    split_key: Literal["text", "words"] = "text"
    """What must not be shared with training: the text, or its set of words in any order."""
    min_chars: int = Field(default=1, ge=1)
    """Shortest text in characters."""
    max_chars: int = Field(default=400, ge=1)
    """Longest text in characters."""
    min_duration_s: float = Field(default=0.0, ge=0)
    """Shortest recording, of texts that give theirs as `duration_s`."""
    max_duration_s: float | None = Field(default=None, gt=0)
    """Longest recording, of texts that give theirs; null: any."""
    only_languages: list[str] | None = Field(default=None, min_length=1)
    """ISO 639-1 codes of the texts to take; null: all."""
    exclude_regex: str | None = None
    """Regular expression; texts in which it is found are not taken. `[A-Za-z]` leaves Mandarin
    without English words."""
    on_filtered: Literal["exclude", "error"] = "exclude"
    """What happens to a text that these limits do not take: it is counted, or stops everything."""
    duplicates: Literal["text", "words"] = "text"
    """Which texts are the same one: equal ones, or those with equal words, whatever their case and
    punctuation. The first is taken."""
    prefix: PrefixConfig | None = None
    """Let training prompts begin with real speech; null: none does. Held-out ones never do."""

    @model_validator(mode="after")
    def _limits_can_be_met(self) -> Self:
        if self.min_chars > self.max_chars:
            raise ValueError(f"min_chars = {self.min_chars} is more than {self.max_chars}")
        if self.max_duration_s is not None and self.min_duration_s > self.max_duration_s:
            raise ValueError(
                f"min_duration_s = {self.min_duration_s:g} is more than {self.max_duration_s:g}"
            )
        try:
            re.compile(self.exclude_regex or "")
        except re.error as error:
            raise ValueError(
                f"exclude_regex = {self.exclude_regex!r} is not a regular expression: {error}"
            ) from None
        return self


class RolloutConfig(Strict):
    """How the policy is sampled."""

    engine: Fixed[Literal["auto", "torch", "vllm"]] = "auto"
    """What generates rollouts; auto is vllm where a GPU is, else torch."""
    group_size: Fixed[int] = Field(default=8, ge=2)
    """Rollouts per prompt; their mean reward is the baseline."""
    temperature: Fixed[float] = Field(default=1.0, gt=0)
    top_p: Fixed[float] = Field(default=1.0, gt=0, le=1)
    """Below 1 the rollout's log-probabilities differ from the actor's by ln(top_p)."""
    top_k: Fixed[int] = Field(default=-1, ge=-1)
    """-1: no limit."""
    max_prompt_tokens: Fixed[int] = Field(default=512, ge=1)
    max_speech_tokens: Fixed[int] = Field(default=2048, ge=1)
    """Longest response in tokens, the end token included."""
    gpu_memory_utilization: Adjustable[float] = Field(default=0.5, gt=0, lt=1)
    """Share of each GPU's memory that vLLM takes while it generates; it gives it back to train."""


class LoraConfig(Strict):
    """Low-rank adapters (arXiv 2106.09685) beside frozen weights.

    Rollouts are spoken by the weights with the adapters folded in, rounded to bfloat16: what
    `ttsrl merge` publishes.
    """

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    """An adapter adds alpha / rank times its product."""
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """Layers that get adapters, by the end of their names; all-linear: all but the output head."""


class TrainConfig(Strict):
    """How GRPO updates the policy."""

    steps: Adjustable[int] = Field(ge=1)
    """Number of GRPO updates; fixed, so that a slow machine gets the same result later."""
    prompts_per_step: Fixed[int] = Field(default=8, ge=1)
    updates_per_step: Fixed[int] = Field(default=1, ge=1)
    """Optimiser steps made from one step's rollouts."""
    learning_rate: Fixed[float] = Field(default=1e-6, gt=0)
    final_learning_rate_ratio: Fixed[float] = Field(default=1.0, gt=0, le=1)
    """Below 1 the rate falls along a half cosine to this share of `learning_rate`."""
    warmup_steps: Fixed[int] = Field(default=0, ge=0)
    adam_betas: Fixed[list[float]] = Field(default=[0.9, 0.999], min_length=2, max_length=2)
    weight_decay: Fixed[float] = Field(default=0.01, ge=0)
    gradient_clip: Fixed[float] = Field(default=1.0, gt=0)
    lora: Fixed[LoraConfig | None] = None
    """Train adapters instead of all weights."""
    kl_coefficient: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of the KL to the reference policy in the loss; 0 loads no reference policy. With
    `lora` the reference is the policy without its adapters, and takes no memory."""
    entropy_coefficient: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of the policy's entropy in the loss, to be made larger."""
    clip_low: Fixed[float] = Field(default=0.2, gt=0, lt=1)
    """The probability ratio's gain is clipped below 1 - clip_low ..."""
    clip_high: Fixed[float] = Field(default=0.2, gt=0)
    """... and above 1 + clip_high; DAPO (arXiv 2503.14476) has 0.28."""
    dual_clip: Fixed[float] = Field(default=3.0, gt=1)
    """Largest ratio that a negative advantage is multiplied with (arXiv 1912.09729)."""
    loss_aggregation: Fixed[
        Literal[
            "token-mean",
            "token-sum",
            "seq-mean-token-mean",
            "seq-mean-token-sum",
            "seq-mean-token-sum-norm",
        ]
    ] = "token-mean"
    """token-mean: every token of an update weighs the same (DAPO). seq-mean-token-mean: every
    rollout does (GRPO). seq-mean-token-sum-norm: a rollout's sum is divided by max_speech_tokens
    (Dr. GRPO). Tokens of rollouts that could not be measured never count; means over rollouts
    divide by all rollouts of the update, so that one with failures is the smaller for it."""
    advantage: Fixed[Literal["grpo", "gdpo"]] = "grpo"
    """grpo: a group's rewards are compared. gdpo: each component's utilities are, then summed by
    the components' weights (arXiv 2601.05242), whatever the composition; see docs/rewards.md."""
    normalise_by_std: Fixed[bool] = True
    """Divide advantages by the group's standard deviation (GRPO); off is Dr. GRPO."""
    dynamic_sampling: Fixed[bool] = False
    """Replace each group that teaches nothing, because all its measured rollouts got the same
    reward, by the group of another prompt (DAPO)."""
    max_generation_batches: Adjustable[int] = Field(default=10, ge=1)
    """Most prompts that `dynamic_sampling` may ask for in one step, in generation batches of
    3 x `prompts_per_step`, the size that DAPO's published runs have."""
    micro_batch_size: Fixed[int] = Field(default=4, ge=1)
    """Rollouts that a forward pass holds on one GPU. Gradients are accumulated over as many passes
    as an update needs: prompts_per_step / updates_per_step x group_size / GPUs /
    micro_batch_size."""
    gradient_checkpointing: Fixed[bool] = False
    device: Fixed[Literal["auto", "cpu", "cuda"]] = "auto"
    """Where the policy trains; auto is cuda where NVIDIA's driver is."""
    gpus_per_node: Fixed[int] = Field(default=1, ge=1)
    nodes: Fixed[int] = Field(default=1, ge=1)
    save_every: Adjustable[int] = Field(default=100, ge=1)
    """Steps between checkpoints; each is published to storage."""
    max_checkpoints: Adjustable[int] = Field(default=2, ge=2)
    """Checkpoints kept on the local disk; the one before the newest may still be uploading."""
    step_deadline_s: Adjustable[float] = Field(default=1800.0, gt=0)
    """A step that takes longer is taken for hung and ends the run, to be resumed."""
    metrics_port: Annotated[Adjustable[int | None], OfDeployment()] = Field(
        default=None, ge=1, le=65535
    )
    """Port at which Prometheus finds the run's metrics; null: none are served."""


class JudgeConfig(Strict):
    """A speech recogniser that only evaluation listens to."""

    name: str
    """Column name in the report."""
    type: Literal["ctc", "whisper", "paraformer", "pocketsphinx"]
    model: Annotated[str, ModelPath("judge")]
    """Folder of a Hugging Face speech recogniser, or its id; paraformer: one of sherpa-onnx's;
    pocketsphinx: `pocketsphinx`, whose package has its weights (English)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What a judge of type whisper computes in: float32 as in published tables, or bfloat16, which
    is several times faster on a GPU. The other types have float32 alone."""
    used_in_reward: bool = False
    """Say on purpose that the reward used this model: its number shows over-fitting, no quality."""

    @model_validator(mode="after")
    def _type_computes_in_dtype(self) -> Self:
        if self.type != "whisper" and self.dtype != "float32":
            raise ValueError(
                f"judge {self.name!r} is of type {self.type!r}, which computes in float32; leave "
                f"dtype = {self.dtype!r} out"
            )
        return self


class QualityConfig(Strict):
    """A model of listeners' opinion, 1 to 5, that evaluation asks about every utterance."""

    type: Literal["distillmos", "dnsmos"]
    """Both have their weights in the package of the extra `reward`."""
    used_in_reward: bool = False
    """Say on purpose that the reward has this component: its number shows over-fitting then."""


class SamplingConfig(Strict):
    """How an evaluation's sampled speech is drawn; null: as `sampling` of the evaluation says, and
    there as the rollouts are."""

    temperature: float | None = Field(default=None, gt=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    """-1: no limit."""
    max_speech_tokens: int | None = Field(default=None, ge=1)
    """Longest response in tokens, of greedy speech too, the end token included."""


HELD_OUT = "held_out"
"""Name of the suite that every run has: its held-out texts."""

BENCHMARK_JUDGES = {
    "zh": ("paraformer-zh", "paraformer", "csukuangfj/sherpa-onnx-paraformer-zh-2023-09-14"),
    "": ("whisper-large-v3", "whisper", "openai/whisper-large-v3"),
}
"""Language -> name, type and model of the judge that Seed-TTS-eval and CV3-Eval use for it; "" is
any other language."""


class SuiteConfig(Strict):
    """A test set beside the held-out texts: a published one, or one's own."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """What `ttsrl eval --suite` calls it: its folder among the evaluations."""
    type: Literal["seed-tts-eval", "cv3-eval", "jsonl"]
    """The list's format and, for the published ones, their authors' word error rate and judge."""
    path: Annotated[str, DataPath()]
    """seed-tts-eval: a meta list, such as zh/hardcase.lst. cv3-eval: a folder with text,
    prompt_text and prompt_wav.scp, such as data/zero_shot/zh. jsonl: lines with `text` and optional
    `language`, `id`, `prompt_audio`, `prompt_text`."""
    language: str
    """ISO 639-1 code of the texts; a line of a JSONL file may name its own."""
    prompt_audio: bool = True
    """Speak in the voice of the list's recordings; false: the texts alone, as training has them."""
    judges: list[JudgeConfig] = []
    """Empty: the judge of the suite's authors; for jsonl those of `eval.judges`."""
    speaker_model: Annotated[str | None, ModelPath("speaker")] = None
    """What measures the similarity to the prompt's speaker: Seed-TTS-eval's own
    wavlm_large_finetune.pth, the folder or id of a Hugging Face WavLM with an x-vector head, or
    `resemblyzer`, whose package has its weights. Null: it is not measured."""
    max_texts: int | None = Field(default=None, ge=1)
    """The first so many; null: all."""
    sampling: SamplingConfig = SamplingConfig()
    """What differs from the usual: for seed-tts-eval and cv3-eval the settings of the family's
    authors (docs/evaluation.md), for jsonl those of `eval.sampling`."""

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name in (HELD_OUT, "before", "after"):
            raise ValueError(f"the name {self.name!r} is that of the held-out texts; give another")
        return self

    def judges_in(self, run_judges: list[JudgeConfig]) -> list[JudgeConfig]:
        """Who listens: the suite's own judges, its authors', or the run's."""
        if self.judges or self.type == "jsonl":
            return self.judges or run_judges
        key = self.language if self.language in BENCHMARK_JUDGES else ""
        name, kind, model = BENCHMARK_JUDGES[key]
        return [JudgeConfig.model_validate({"name": name, "type": kind, "model": model})]


class EvalConfig(Strict):
    """What is evaluated before and after training."""

    judges: list[JudgeConfig] = Field(min_length=1)
    """The first is the one that the verdict rests on."""
    seeds: Annotated[list[int], InEvaluation()] = Field(default=[0], min_length=1)
    """One sampled utterance per text and seed."""
    sampling: SamplingConfig = SamplingConfig()
    """How the held-out texts are sampled; null: as rollouts are. Published suites have the
    settings that their tables were made with."""
    greedy: Annotated[bool, InEvaluation()] = True
    """One greedy utterance per text beside the sampled ones. Speech models of published size often
    repeat themselves under greedy decoding."""
    quality: list[QualityConfig] = []
    """Models of speech quality beside the judges of what is said, for every suite."""
    max_texts: int = Field(default=500, ge=1)
    batch_size: Annotated[int, InEvaluation()] = Field(default=64, ge=1)
    bootstrap_samples: int = Field(default=2000, ge=100)
    suites: list[SuiteConfig] = []
    """Test sets beside the held-out texts."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [suite.name for suite in self.suites]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two suites have the name {twice[0]!r}; give each its own")
        for suite in self.suites:
            judges = [judge.name for judge in suite.judges_in(self.judges)]
            if len(set(judges)) < len(judges):
                raise ValueError(f"two judges of suite {suite.name!r} share a name; rename one")
        return self

    @model_validator(mode="after")
    def _quality_is_asked_once(self) -> Self:
        types = [one.type for one in self.quality]
        if len(set(types)) < len(types):
            raise ValueError("eval.quality names a model twice; leave one out")
        return self

    @model_validator(mode="after")
    def _first_judge_is_independent(self) -> Self:
        if self.judges[0].used_in_reward:
            raise ValueError(
                f"the first judge, {self.judges[0].name!r}, gave the reward: a model may not judge "
                "what it rewarded; put an independent judge first"
            )
        return self


class RunConfig(Strict):
    """One run: everything that decides its result."""

    name: Fixed[str] = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?$")
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
    data: Fixed[DataConfig]
    rollout: RolloutConfig = RolloutConfig()
    train: TrainConfig
    reward: Annotated[RewardConfig, AfterValidator(without_unheard_whisper)]
    eval: Adjustable[EvalConfig]
    storage: Annotated[Adjustable[str], StorageAddress()] = "storage"
    """Where the run is published: `s3://bucket/prefix`, or a folder."""
    verl: Fixed[dict[str, str | int | float | bool]] = {}
    """verl's own keys, passed through; they may not contradict the keys that ttsrl sets."""

    @property
    def micro_batch_size(self) -> int:
        """Rollouts of a forward pass on one GPU: never more than an update has there."""
        t = self.train
        rollouts = t.prompts_per_step // t.updates_per_step * self.rollout.group_size
        return max(1, min(t.micro_batch_size, rollouts // (t.gpus_per_node * t.nodes)))

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
    def _batches_divide(self) -> Self:
        t = self.train
        if t.prompts_per_step % t.updates_per_step:
            raise ValueError(
                f"train.prompts_per_step = {t.prompts_per_step} is not divisible by "
                f"train.updates_per_step = {t.updates_per_step}"
            )
        ranks = t.gpus_per_node * t.nodes
        rollouts = t.prompts_per_step // t.updates_per_step * self.rollout.group_size
        if rollouts % ranks:
            raise ValueError(
                f"{rollouts} rollouts an update (prompts_per_step / updates_per_step x group_size) "
                f"are not divisible by {ranks} GPUs (train.gpus_per_node x train.nodes)"
            )
        if (rollouts // ranks) % self.micro_batch_size:
            raise ValueError(
                f"{rollouts // ranks} rollouts an update on each GPU are not divisible by "
                f"train.micro_batch_size = {t.micro_batch_size}: verl needs whole micro batches"
            )
        return self

    @model_validator(mode="after")
    def _quality_did_not_reward(self) -> Self:
        rewarded = {component.type for component in self.reward.components}
        for one in self.eval.quality:
            if one.type in rewarded and not one.used_in_reward:
                raise ValueError(
                    f"eval.quality {one.type!r} is a component of the reward: use the other model, "
                    "or say used_in_reward to show its number all the same"
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
