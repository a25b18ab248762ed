"""What is evaluated, by which judges, on which texts."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ttsrl.base import Strict
from ttsrl.config.during_training import DuringTrainingConfig
from ttsrl.config.style_judges import StyleJudgeConfig
from ttsrl.errors import did_you_mean
from ttsrl.facts import DataPath, InEvaluation, ModelPath
from ttsrl.reward.audio_llm import AudioLlm
from ttsrl.reward.audio_scorer import AudioScorer
from ttsrl.reward.lineage import Lineage


class JudgeConfig(Strict):
    """A speech recogniser that only evaluation listens to."""

    name: str
    """Column name in the report."""
    type: Literal["ctc", "whisper", "moonshine", "paraformer", "pocketsphinx"]
    model: Annotated[str, ModelPath("judge")]
    """Folder of a Hugging Face speech recogniser, or its id; paraformer: one of sherpa-onnx's;
    pocketsphinx: `pocketsphinx`, whose package has its weights (English); moonshine may be
    `moonshine_voice`, whose package has some, too."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What a judge of type whisper computes in: float32 as in published tables, or bfloat16, which
    is several times faster on a GPU. The other types have float32 alone."""
    language_model: Annotated[str | None, DataPath()] = None
    """pocketsphinx: word n-grams of your domain as an ARPA file. It then writes their words alone,
    and errs less where speech has few words."""
    used_in_reward: bool = False
    """Say on purpose that the reward used this model: its number shows over-fitting, no quality."""
    lineage: Lineage = []
    """What it descends from, where its model does not tell: names of `ttsrl.reward.lineage`, such
    as whisper or wav2vec2, or a word of your own. Empty: found out."""

    @model_validator(mode="after")
    def _type_computes_in_dtype(self) -> Self:
        if self.type != "whisper" and self.dtype != "float32":
            raise ValueError(
                f"judge {self.name!r} is of type {self.type!r}, which computes in float32; leave "
                f"dtype = {self.dtype!r} out"
            )
        return self

    @model_validator(mode="after")
    def _type_has_a_language_model(self) -> Self:
        if self.type != "pocketsphinx" and self.language_model is not None:
            raise ValueError(
                f"judge {self.name!r} is of type {self.type!r}, which hears without a language "
                f"model; leave language_model = {self.language_model!r} out"
            )
        return self


class QualityConfig(Strict):
    """A model of listeners' opinion, 1 to 5, that evaluation asks about every utterance."""

    type: Literal["distillmos", "dnsmos"]
    """Both have their weights in the package of the extra `reward`."""
    used_in_reward: bool = False
    """Say on purpose that the reward has this component: its number shows over-fitting then."""


class LlmQualityConfig(AudioLlm):
    """An audio-LLM's opinion of every utterance, on the scale of its prompt."""

    type: Literal["llm"]
    used_in_reward: bool = False
    """Say on purpose that the reward asks this model: its number shows over-fitting then."""


class HttpQualityConfig(AudioScorer):
    """The score that another program gives every utterance, in its own unit; larger is better."""

    type: Literal["http"]
    used_in_reward: bool = False
    """Say on purpose that the reward asks this program: its number shows over-fitting then."""


AnyQualityConfig = Annotated[
    QualityConfig | LlmQualityConfig | HttpQualityConfig, Field(discriminator="type")
]


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
    `language`, `id`, `style`, `label`, `prompt_audio`, `prompt_text`."""
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
    """The verdict rests on the first that is unlike what gives the reward
    (`ttsrl.models.kinship.verdict_judge`)."""
    seeds: Annotated[list[int], InEvaluation()] = Field(default=[0], min_length=1)
    """One sampled utterance per text and seed."""
    sampling: SamplingConfig = SamplingConfig()
    """How the held-out texts are sampled; null: as rollouts are. Published suites have the
    settings that their tables were made with."""
    greedy: Annotated[bool, InEvaluation()] = True
    """One greedy utterance per text beside the sampled ones. Speech models of published size often
    repeat themselves under greedy decoding."""
    quality: list[AnyQualityConfig] = []
    """Models of speech quality beside the judges of what is said, for every suite."""
    styles: list[StyleJudgeConfig] = []
    """What hears whether speech is in the style that was asked for, for every text that has one;
    the report has a line for each style."""
    speaker_model: Annotated[str | None, ModelPath("speaker")] = None
    """What measures the similarity of held-out speech to the recordings in whose voices it is
    spoken, as `speaker_model` of a suite does. Null: it is not measured."""
    max_texts: int = Field(default=500, ge=1)
    batch_size: Annotated[int, InEvaluation()] = Field(default=64, ge=1)
    bootstrap_samples: int = Field(default=2000, ge=100)
    suites: list[SuiteConfig] = []
    """Test sets beside the held-out texts."""
    during_training: DuringTrainingConfig | None = None
    """Evaluate published checkpoints while training continues; null: only before and after."""

    def judges_during_training(self) -> list[JudgeConfig]:
        """Who listens to checkpoints while training continues; empty where that is off."""
        if self.during_training is None:
            return []
        judges, wanted = self._judges_of(self.during_training.suite), self.during_training.judges
        return [
            judge
            for judge in judges
            if (judge.name in wanted if wanted else not judge.used_in_reward)
        ]

    def _judges_of(self, name: str) -> list[JudgeConfig]:
        found = (suite for suite in self.suites if suite.name == name)
        return next((suite.judges_in(self.judges) for suite in found), self.judges)

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
    def _style_judges_have_names(self) -> Self:
        names = [judge.name for judge in self.styles]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two of eval.styles have the name {twice[0]!r}; give each its own")
        return self

    @model_validator(mode="after")
    def _quality_is_asked_once(self) -> Self:
        types = [one.type for one in self.quality]
        if len(set(types)) < len(types):
            raise ValueError("eval.quality names a model twice; leave one out")
        return self

    @model_validator(mode="after")
    def _a_judge_did_not_reward(self) -> Self:
        if all(judge.used_in_reward for judge in self.judges):
            raise ValueError(
                f"every judge gave the reward, {self.judges[0].name!r} first: a model may not "
                "judge what it rewarded; add an independent judge"
            )
        return self

    @model_validator(mode="after")
    def _during_training_is_possible(self) -> Self:
        if (during := self.during_training) is None:
            return self
        suites = [HELD_OUT, *(suite.name for suite in self.suites)]
        if during.suite not in suites:
            raise ValueError(
                f"during_training.suite = {during.suite!r} is not among the suites"
                f"{did_you_mean(during.suite, suites)}"
            )
        judges = {judge.name: judge for judge in self._judges_of(during.suite)}
        for name in during.judges:
            if name not in judges:
                raise ValueError(
                    f"during_training.judges names {name!r}, and suite {during.suite!r} has no "
                    f"such judge{did_you_mean(name, judges)}"
                )
            if judges[name].used_in_reward:
                raise ValueError(
                    f"during_training.judges names {name!r}, which gave the reward: it hears "
                    "over-fitting as progress; name independent judges"
                )
        if not self.judges_during_training():
            raise ValueError(
                f"during_training: every judge of suite {during.suite!r} gave the reward; give the "
                "suite an independent one"
            )
        return self
