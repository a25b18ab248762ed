"""What an evaluation leaves: rows.jsonl, report.json, and shard.json where it is done in shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import AliasChoices, Field, model_validator

from ttsrl.records.record import Record
from ttsrl.records.sampling import Sampling

ROWS, REPORT, SHARD = "rows.jsonl", "report.json", "shard.json"
"""Files of an evaluation's folder."""
SAMPLED, GREEDY = MODES = ("sampled", "greedy")
"""How the texts are spoken; an evaluation may leave greedy speech out."""


class PromptRecording(Record):
    """The recording in whose voice a text is spoken, and what is said in it."""

    text: str
    audio: str
    """File, from the suite's own folder on."""
    sha256: str
    """Of the file, so that machines with the suite in different places agree."""


class Verdict(Record):
    """What one judge makes of one utterance: a transcript and its error rates, or an error."""

    transcript: str | None = None
    cer: float | None = None
    """Character error rate as a ratio; may exceed 1."""
    wer: float | None = None
    """Word error rate as a ratio, as the suite's authors compute it; may exceed 1."""
    cut: bool = False
    """The speech is longer than the judge can hear: the verdict is of its beginning."""
    error: str | None = None
    """The measurement failed; this says nothing about the speech."""


class StyleVerdict(Record):
    """Which style one judge of styles hears in one utterance."""

    heard: str | None = None
    """As the judge names it; None: none that it knows, or no speech."""
    as_asked: bool | None = None
    """Whether it is the one that was asked for; None where the measurement failed."""


class EvaluationRow(Record):
    """A line of rows.jsonl: one utterance of an evaluation."""

    index: int
    """Place of the text in the suite."""
    text: str
    language: str
    """ISO 639-1 code."""
    id: str | None
    """The suite's own name for the text."""
    voice: PromptRecording | None = None
    mode: str
    """`sampled` or `greedy`."""
    seed: int
    """Random seed of the sampling."""
    tokens: int
    """Speech tokens."""
    finished: bool
    """The model ended the utterance itself, with its end token."""
    duration_s: float
    judges: dict[str, Verdict]
    """Name of the judge -> its verdict."""
    similarity: float | None = None
    """Cosine with the voice prompt, -1 to 1; None where a text has no voice."""
    nearest_voice: str | None = None
    """`sha256` of the recording that the speech is most similar to, of all of the suite's; None
    where a text has no voice, or the suite too many."""
    style: str | None = None
    """The style that was asked for."""
    styles: dict[str, StyleVerdict] = {}
    """Name of the judge of styles -> its verdict; empty where no style was asked for."""
    quality: dict[str, float | None] = {}
    """Quality model -> its opinion, 1 to 5 or on the scale of an audio-LLM; None where it failed or
    there is no speech."""
    wav: str | None
    """File of the speech, from the evaluation's folder on; None where it was not kept."""


Kinship = Literal["unlike", "unknown", "kin", "same"]
"""How a judge is related to the recognisers that gave the reward, from the most independent on:
of other descent; nothing tells; of the same model or training data; the same model."""
INDEPENDENCE: tuple[Kinship, ...] = ("unlike", "unknown", "kin", "same")


def most_independent(kinships: Sequence[Kinship]) -> int:
    """Place of the judge on which a verdict rests: the first of the most independent."""
    return min(range(len(kinships)), key=lambda n: INDEPENDENCE.index(kinships[n]))


class ReportJudge(Record):
    """A judge as a report names it (`ttsrl.config.schema.JudgeConfig`)."""

    name: str
    type: str
    model: str
    dtype: str | None = None
    """What it computed in; None in reports of the first version."""
    language_model: str | None = None
    # `gave_reward` until 0.1: read as missing, a judge of an old report would pass for independent
    used_in_reward: bool = Field(
        default=False, validation_alias=AliasChoices("used_in_reward", "gave_reward")
    )
    lineage: list[str] = []
    """What it descends from (`ttsrl.reward.lineage`), as far as that was known."""
    kinship: Kinship | None = None
    """None in reports of before it was told."""

    @property
    def relation(self) -> Kinship:
        """Its kinship; a judge of an old report that gave no reward is of unknown descent."""
        return self.kinship or ("same" if self.used_in_reward else "unknown")


class Interval(Record):
    """A value and the limits of its 95 % interval."""

    value: float
    low: float
    high: float


class AdaptationFigure(Record):
    """How much of the gain over the policy before training only the reward's kin hears.

    A gain is the relative fall of the mean CER: 0.4 where it fell by 40 %.
    """

    kin: str
    """Name of a judge that gave the reward or is kin to what gave it."""
    unlike: str
    """Name of the judge on which the verdict rests."""
    mode: str
    """`sampled` or `greedy`."""
    texts: int
    kin_gain: Interval
    unlike_gain: Interval
    adaptation: Interval
    """Gain heard by the kin minus gain heard by the unlike judge, over the same texts."""


class EvaluationIdentity(Record):
    """What an evaluation's numbers depend on, as digests."""

    model: str
    protocol: str
    """All but the model: equal protocols make two models comparable."""


class JudgeSummary(Record):
    """What one judge heard in one mode. A rate is None where the judge failed on every utterance.

    Means are over texts, as Seed-TTS-eval and CV3-Eval have it; the corpus CER is all edits over
    all reference characters.
    """

    mean_cer: float | None
    mean_wer: float | None = None
    corpus_cer: float | None
    exact_share: float | None
    """Share of the utterances with a CER of 0."""
    cut: int
    """Utterances longer than the judge can hear."""
    errors: int
    """Utterances on which the judge failed."""


class ConditionSummary(Record):
    """The utterances of which one style, or one voice, was asked."""

    kind: Literal["style", "voice"]
    asked: str
    """The style; of a voice the file of its recording."""
    texts: int
    utterances: int
    as_asked: dict[str, Interval | None]
    """Judge of styles, or `speaker` for a voice -> share of the speech in the style or voice that
    was asked for, over texts, with Wilson's interval; None where it failed on all."""
    cer: Interval | None
    """Mean CER over texts by the judge on which the verdict rests; a bootstrap's interval."""
    similarity: Interval | None = None
    """Of a voice: mean cosine over texts with its recording."""


class ModeSummary(Record):
    """Numbers of one mode: over the utterances of all its seeds."""

    utterances: int
    end_token_rate: float
    mean_duration_s: float
    mean_tokens: float
    mean_similarity: float | None = None
    """Mean over texts of the cosine with the voice prompt."""
    mean_quality: dict[str, float | None] = {}
    """Quality model -> mean over texts of its opinion score."""
    judges: dict[str, JudgeSummary]
    """Name of the judge -> what it heard."""
    conditions: list[ConditionSummary] = []
    """Each style and each voice that was asked for; empty where nothing heard it."""


class EvaluationReport(Record):
    """report.json of an evaluation."""

    identity: EvaluationIdentity
    model: str
    """Folder, key in storage or Hugging Face id."""
    suite: str = "held_out"
    """Name; the first version had the held-out texts alone."""
    texts: int
    seeds: list[int]
    """Random seeds of the sampled mode."""
    sampling: Sampling
    """Of the sampled mode."""
    judges: list[ReportJudge]
    quality: dict[str, bool] = {}
    """Quality model -> whether the reward has it, too."""
    styles: dict[str, bool] = {}
    """Judge of styles -> whether the reward has it, too."""
    tokens_per_s: float
    """Speech tokens per second of synthesis."""
    modes: dict[str, ModeSummary]
    """`sampled`, and `greedy` where it was asked for."""
    adaptation: list[AdaptationFigure] = []
    """Against the policy before training; empty where its evaluation was not at hand, or no judge
    is unlike the reward, or none is kin to it."""
    rollbacks: int | None = None
    """Of an evaluation beside training: how many rollbacks of the run were complete when the
    checkpoint was read."""

    @property
    def verdict_judge(self) -> ReportJudge:
        """The judge on which the verdict of this evaluation rests."""
        return self.judges[most_independent([judge.relation for judge in self.judges])]

    @model_validator(mode="before")
    @classmethod
    def _sampling_of_the_first_version(cls, report: Any) -> Any:
        """It told the temperature alone."""
        if not isinstance(report, dict) or "temperature" not in report:
            return report
        told = {"temperature": report["temperature"], "max_speech_tokens": 0}
        return {"sampling": told, **report}


class EvaluationShard(Record):
    """shard.json: what a shard's rows are of."""

    identity: EvaluationIdentity
    model: str
    suite: str
    sampling: Sampling
    judges: list[ReportJudge]
    texts: int
    """Of the whole evaluation."""
    rows: int
    """Of this shard."""
    synthesis_s: float
    """Seconds of synthesis."""
