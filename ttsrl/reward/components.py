"""Raw scores -> utilities -> one reward. Pure maths: no model, no waveform, no HTTP.

Each class is one component of a reward: the measurement it is made of, its weight, its knobs, and
the formula that turns the raw value into a utility. Formulas of the two default components:
channel-io/ch-tts-llasa-rl-grpo, verl/utils/reward_score/tts_cer.py; arXiv 2509.18798.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ttsrl.base import Strict
from ttsrl.facts import InReward, ModelPath
from ttsrl.reward.audio_llm import AudioLlm
from ttsrl.reward.audio_scorer import AudioScorer
from ttsrl.reward.lineage import Lineage
from ttsrl.text.languages import check_language

Composition = Literal["harmonic", "linear", "product"]
ScorerModel = Annotated[str, ModelPath("scorer"), InReward("digest")]
"""A model that gives a reward; its content is part of the reward's specification."""
ScorerLineage = Annotated[Lineage, InReward("not")]
"""What a recogniser descends from; no reward depends on it."""

LEAST_UTILITY = {"correct": 0.0, "channel-io": 0.0, "deep-unlearning": 1e-8}
"""Whisper's mode -> what `compose` takes as `least`: the recipe of the mode decides it."""


class ComponentBase(Strict):
    """What every component has."""

    weight: float = Field(default=1.0, ge=0)
    """Share in the composition; 0: measured and logged, and a guard if it has a `floor`."""
    floor: float = Field(default=0.0, ge=0, lt=1)
    """A rollout whose utility is below this is gated, whatever its other utilities."""
    max_cer: float | None = Field(default=None, ge=0)
    """A rollout whose CER is above this has utility 0 here: what it says comes first."""


class Cer(ComponentBase):
    """Character error rate of the transcript against the text, both normalised."""

    type: Literal["cer"] = "cer"
    weight: float = Field(default=0.6, gt=0)
    beta: float = Field(default=3.0, gt=0)
    """Steepness: utility is 0.5 near CER = 0.55 / beta."""

    def utility(self, raw: float) -> float:
        """1 for a perfect transcript, towards 0 as the CER grows: 1 - tanh(beta * CER)."""
        return 1.0 - math.tanh(self.beta * raw)


class Wer(ComponentBase):
    """Word error rate of the transcript against the text; over characters where a language writes
    no spaces. By Deep-unlearning/Llasa-GRPO, reward_whisper.py."""

    type: Literal["wer"] = "wer"
    weight: float = Field(default=0.6, gt=0)
    beta: float = Field(default=3.0, gt=0)
    """Steepness: utility is 0.5 near WER = 0.55 / beta."""

    def utility(self, raw: float) -> float:
        """1 - tanh(beta * WER), as for the CER."""
        return 1.0 - math.tanh(self.beta * raw)


class Nll(ComponentBase):
    """Mean negative log-likelihood of the text under Whisper, nats per token, teacher-forced."""

    type: Literal["nll"] = "nll"
    weight: float = Field(default=0.4, gt=0)
    tau: float = Field(default=3.0, gt=0)
    """Scale in nats per token: utility is 1/e at NLL = tau."""

    def utility(self, raw: float) -> float:
        """1 for a certain reading, towards 0 as the text becomes unlikely: exp(-NLL / tau)."""
        return math.exp(-raw / self.tau)


class Language(ComponentBase):
    """Probability that the speech is in a wanted language, by Whisper's own language tokens."""

    type: Literal["language"] = "language"
    languages: list[str] | None = Field(default=None, min_length=1)
    """Codes of the wanted languages; null: the language of each text."""

    @field_validator("languages")
    @classmethod
    def _known_once(cls, languages: list[str] | None) -> list[str] | None:
        for code in languages or []:
            check_language(code)
        if languages and len(set(languages)) < len(languages):
            raise ValueError(f"a language stands twice in {languages}; keep one")
        return languages

    def measure(self, probabilities: Mapping[str, float], language: str) -> dict[str, float]:
        """Raw values of a text in `language`: the sum over the wanted languages, since they exclude
        one another, and where several are wanted each one's own, to be logged."""
        wanted = self.languages or [language]
        shares = {code: probabilities.get(code, 0.0) for code in wanted}
        each = {f"language_{code}": p for code, p in shares.items()} if len(wanted) > 1 else {}
        return {"language": sum(shares.values()), **each}

    def utility(self, raw: float) -> float:
        """The probability itself."""
        return min(1.0, max(0.0, raw))


class Band(ComponentBase):
    """A measure that is right within a range: too little is as bad as too much."""

    low: float
    """Utility is 1 from here ..."""
    high: float
    """... to here."""
    softness: float = Field(gt=0)
    """Utility is 1/e at this distance from the range."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low = {self.low:g} is above high = {self.high:g}; correct one")
        return self

    def utility(self, raw: float) -> float:
        """1 within [low, high], beyond it exp(-(distance / softness)^2)."""
        return band(raw, self.low, self.high, self.softness)


class Ramp(ComponentBase):
    """A measure of which more is better."""

    low: float
    """Utility is 0 up to here ..."""
    high: float
    """... and 1 from here on."""

    @model_validator(mode="after")
    def _range_is_one(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low = {self.low:g} is not below high = {self.high:g}; correct one")
        return self

    def utility(self, raw: float) -> float:
        """(raw - low) / (high - low), within [0, 1]."""
        return ramp(raw, self.low, self.high)


class Rate(ComponentBase):
    """Characters of the normalised text a second, spaces included where the language has them."""

    type: Literal["rate"] = "rate"
    low: float | None = Field(default=None, ge=0)
    """Slowest that is right; null: the range of the text's language (`RATES`)."""
    high: float | None = Field(default=None, gt=0)
    """Fastest that is right; null: the range of the text's language."""
    softness: float = Field(default=3.0, gt=0)
    """Utility is 1/e at this distance from the range."""

    def utility(self, raw: float, language: str) -> float:
        """1 within the range, beyond it exp(-(distance / softness)^2)."""
        low, high = RATES.get(language, ALPHABETIC_RATE)
        low, high = (a if b is None else b for a, b in ((low, self.low), (high, self.high)))
        return band(raw, low, high, self.softness)


class PitchSpread(Band):
    """How far the pitch moves, semitones; 0 is a monotone."""

    type: Literal["pitch_spread"] = "pitch_spread"
    low: float = Field(default=1.5, ge=0)
    high: float = Field(default=6.0, gt=0)
    softness: float = Field(default=1.0, gt=0)


class EnergySpread(Band):
    """How far the level of speech moves, dB."""

    type: Literal["energy_spread"] = "energy_spread"
    low: float = Field(default=3.0, ge=0)
    high: float = Field(default=12.0, gt=0)
    softness: float = Field(default=2.0, gt=0)


class VoicedShare(Band):
    """Share of the spoken time that is voiced; a whisper has none."""

    type: Literal["voiced_share"] = "voiced_share"
    low: float = Field(default=0.3, ge=0, le=1)
    high: float = Field(default=0.9, ge=0, le=1)
    softness: float = Field(default=0.15, gt=0)


class Pauses(Band):
    """Share of the spoken time that lies in pauses of 0.15 s and more."""

    type: Literal["pauses"] = "pauses"
    low: float = Field(default=0.0, ge=0, le=1)
    high: float = Field(default=0.25, ge=0, le=1)
    softness: float = Field(default=0.1, gt=0)


class Snr(Band):
    """Level of speech above the quietest frames, dB: noise fills the gaps."""

    type: Literal["snr"] = "snr"
    low: float = 20.0
    high: float = 60.0
    softness: float = Field(default=10.0, gt=0)


class Clipping(ComponentBase):
    """Share of the samples that are clipped."""

    type: Literal["clipping"] = "clipping"
    scale: float = Field(default=1e-3, gt=0)
    """Utility is 1/e at this share."""

    def utility(self, raw: float) -> float:
        """exp(-share / scale)."""
        return math.exp(-raw / self.scale)


class Clicks(ComponentBase):
    """Sudden samples per second."""

    type: Literal["clicks"] = "clicks"
    scale: float = Field(default=4.0, gt=0)
    """Utility is 1/e at so many."""

    def utility(self, raw: float) -> float:
        """exp(-clicks / scale)."""
        return math.exp(-raw / self.scale)


class Reverb(Band):
    """Seconds in which an ending sound would fall by 60 dB."""

    type: Literal["reverb"] = "reverb"
    low: float = Field(default=0.0, ge=0)
    high: float = Field(default=0.4, gt=0)
    softness: float = Field(default=0.2, gt=0)


class OpinionScore(ComponentBase):
    """A mean opinion score, 1 to 5."""

    def utility(self, raw: float) -> float:
        """(MOS - 1) / 4, as Inworld TTS-1 has it (arXiv 2507.21138)."""
        return min(1.0, max(0.0, (raw - 1) / 4))


class Dnsmos(OpinionScore):
    """DNSMOS P.835 of the whole signal: a mean opinion score, 1 to 5."""

    type: Literal["dnsmos"] = "dnsmos"


class DistillMos(OpinionScore):
    """DistillMOS of the whole signal: a mean opinion score, 1 to 5."""

    type: Literal["distillmos"] = "distillmos"


class Style(Ramp):
    """Cosine of the speech and a description of its style, by CLAP."""

    type: Literal["style"] = "style"
    model: ScorerModel = "laion/larger_clap_general"
    """Folder of a Hugging Face CLAP, or its id."""
    text: str | None = Field(default=None, min_length=1)
    """Style of every text that names none."""
    max_cer: float | None = Field(default=0.2, ge=0)
    """A rollout whose CER is above this has utility 0 here: ungated, a style reward unlearns words
    (CER 61 % against 1 %: MCLP, ICML 2026)."""
    low: float = Field(default=0.0, ge=-1, lt=1)
    """Cosine at and below which the utility is 0 ..."""
    high: float = Field(default=0.5, gt=-1, le=1)
    """... and at and above which it is 1; CLAP seldom finds speech and text closer."""


class Speaker(Ramp):
    """Cosine of the embeddings of the speech and its reference voice."""

    type: Literal["speaker"] = "speaker"
    model: ScorerModel = "microsoft/wavlm-base-plus-sv"
    """Folder of a Hugging Face WavLM with an x-vector head, or its id; Seed-TTS-eval's
    wavlm_large_finetune.pth; or `resemblyzer`, whose package has its weights."""
    voices: Annotated[str | None, ModelPath("voice"), InReward("digest")] = None
    """Folder with the reference voices: NAME.wav (flac, ogg, mp3) for the speaker NAME; null: each
    utterance is compared with its own reference, the recording that its text is spoken after."""
    voice: str | None = None
    """Speaker of every text that names none."""
    max_cer: float | None = Field(default=0.2, ge=0)
    """A rollout whose CER is above this has utility 0 here: ungated, similarity took the CER to
    42.6 % (arXiv 2509.18531)."""
    low: float = Field(default=-1.0, ge=-1, lt=1)
    """Cosine at and below which the utility is 0 ..."""
    high: float = Field(default=1.0, gt=-1, le=1)
    """... and at and above which it is 1."""

    @model_validator(mode="after")
    def _voice_is_in_a_folder(self) -> Self:
        if self.voices is None and self.voice is not None:
            raise ValueError(
                f"voice = {self.voice!r} names a recording of `voices`, which is missing; add it, "
                "or leave `voice` out to compare with each text's reference"
            )
        return self

    def utility(self, raw: float) -> float:
        """(cosine - low) / (high - low), within [0, 1]; as it stands (1 + cosine) / 2, as GLM-TTS
        has it (arXiv 2512.14291)."""
        return super().utility(raw)


class Classifier(Ramp):
    """Probability of the wanted label, by an audio classifier: an emotion, an accent, ..."""

    type: Literal["classifier"] = "classifier"
    model: ScorerModel
    """Folder of a Hugging Face audio classifier, or its id."""
    labels: list[str] = []
    """What every text that names no `label` is to be: any one of these."""
    max_cer: float | None = Field(default=0.2, ge=0)
    """A rollout whose CER is above this has utility 0 here: a classifier hears no words."""
    low: float = Field(default=0.0, ge=0, lt=1)
    """Probability at and below which the utility is 0 ..."""
    high: float = Field(default=1.0, gt=0, le=1)
    """... and at and above which it is 1."""

    def utility(self, raw: float) -> float:
        """(probability - low) / (high - low), within [0, 1]; as it stands the probability, where
        i-ETTS (arXiv 2104.01408) rewards what an emotion recogniser decides."""
        return super().utility(raw)


class Preference(ComponentBase):
    """What listeners would choose, by a head that `ttsrl prefer train` made: log-odds against the
    average of its clips."""

    type: Literal["preference"] = "preference"
    model: ScorerModel
    """Folder of the head."""
    encoder: Annotated[str | None, ModelPath("scorer"), InReward("digest")] = None
    """Where the encoder that it was trained on lies now; null: where it lay then."""
    max_cer: float | None = Field(default=0.2, ge=0)
    """A rollout whose CER is above this has utility 0 here: the head knows no words."""

    def utility(self, raw: float) -> float:
        """1 / (1 + exp(-log-odds)): the share of listeners that would prefer it."""
        return 0.5 * (1.0 + math.tanh(raw / 2))


class Llm(ComponentBase, AudioLlm):
    """Opinion of an audio-LLM, on the scale of its prompt."""

    type: Literal["llm"] = "llm"
    lineage: ScorerLineage = []
    """What it descends from, where the name in `served_model` does not tell: see
    `eval.judges.lineage`."""
    max_cer: float | None = Field(default=0.2, ge=0)
    """A rollout whose CER is above this has utility 0 here: such models like fluent nonsense."""

    def utility(self, raw: float) -> float:
        """(opinion - low) / (high - low)."""
        return ramp(raw, self.low, self.high)


class Http(Ramp, AudioScorer):
    """Score of another project's audio scorer, by verl-omni's protocol, version 1."""

    type: Literal["http"] = "http"
    lineage: ScorerLineage = []
    """What a recogniser in it descends from, where the name in `served_model` does not tell: see
    `eval.judges.lineage`."""
    low: float = 0.0
    """Score at and below which the utility is 0 ..."""
    high: float = 1.0
    """... and at and above which it is 1."""


class PinyinWer(ComponentBase):
    """Word error rate over the pinyin syllables that SenseVoice hears; Mandarin only."""

    type: Literal["pinyin_wer"] = "pinyin_wer"
    model: ScorerModel = "csukuangfj/sherpa-onnx-sense-voice-zh-en-ja-ko-yue-2024-07-17"
    """Folder with a SenseVoice for sherpa-onnx, or its Hugging Face id."""
    lineage: ScorerLineage = []
    """What it descends from, where that is not FunASR's: see `eval.judges.lineage`."""
    tones: bool = True
    """Whether syllables of another tone are errors; each choice has its recipe's utility."""

    def utility(self, raw: float) -> float:
        """With tones 1 - tanh(3 WER) (CosyVoice, examples/grpo/cosyvoice2, reward_tts.py); without
        exp(-12 WER^1.5) (mair-hub, rl-tutorial/cosyvoice_llm)."""
        return 1.0 - math.tanh(3.0 * raw) if self.tones else math.exp(-12.0 * raw**1.5)


class ParakeetCer(ComponentBase):
    """Character error rate by Parakeet instead of Whisper, both texts normalised."""

    type: Literal["parakeet_cer"] = "parakeet_cer"
    model: ScorerModel = "nvidia/parakeet-ctc-1.1b"
    """Folder of a Hugging Face Parakeet (CTC or TDT), its id, or a `.nemo` file."""
    lineage: ScorerLineage = []
    """What it descends from, where that is not NeMo's: see `eval.judges.lineage`."""
    beta: float = Field(default=3.0, gt=0)
    """Steepness: utility is 0.5 near CER = 0.55 / beta."""

    def utility(self, raw: float) -> float:
        """1 - tanh(beta * CER), as for Whisper's CER."""
        return 1.0 - math.tanh(self.beta * raw)


class AsrCer(ComponentBase):
    """Character error rate by one more recogniser: an ensemble of unlike ones is harder to fool."""

    type: Literal["asr_cer"] = "asr_cer"
    recogniser: Literal["ctc", "moonshine", "paraformer", "pocketsphinx"]
    """The recogniser's kind, as the type of a judge."""
    model: ScorerModel
    """As of a judge: a folder, a Hugging Face id, or a package that has its weights."""
    lineage: ScorerLineage = []
    """What it descends from, where its model does not tell: see `eval.judges.lineage`."""
    beta: float = Field(default=3.0, gt=0)
    """Steepness: utility is 0.5 near CER = 0.55 / beta."""

    def utility(self, raw: float) -> float:
        """1 - tanh(beta * CER), as for Whisper's CER."""
        return 1.0 - math.tanh(self.beta * raw)


Component = Annotated[
    Cer
    | Wer
    | Nll
    | Language
    | PinyinWer
    | ParakeetCer
    | AsrCer
    | Rate
    | PitchSpread
    | EnergySpread
    | VoicedShare
    | Pauses
    | Snr
    | Clipping
    | Clicks
    | Reverb
    | Dnsmos
    | DistillMos
    | Style
    | Speaker
    | Classifier
    | Preference
    | Llm
    | Http,
    Field(discriminator="type"),
]

HEARD_BY_WHISPER = ("cer", "wer", "nll", "language")
"""Component types that Whisper measures."""

ALPHABETIC_RATE = (9.0, 24.0)
"""Adults read 14 alphabetic languages aloud at 14.7 characters per second (68 ms each, 95 %
interval of the mean 65 to 71 ms: IReST, doi 10.1167/iovs.11-8284); from 0.6 to 1.6 times that."""
RATES: dict[str, tuple[float, float]] = {
    "zh": (2.5, 8.0),
    "yue": (2.5, 8.0),
    "ja": (4.0, 12.0),
    "ko": (3.5, 10.0),
}
"""Language -> characters per second; estimates for scripts whose characters are syllables or words.
Your recordings know better: `low` and `high` of the component."""


def band(raw: float, low: float, high: float, softness: float) -> float:
    """1 within [low, high], beyond it exp(-(distance / softness)^2)."""
    distance = max(low - raw, raw - high, 0.0)
    return math.exp(-((distance / softness) ** 2))


def ramp(raw: float, low: float, high: float) -> float:
    """0 up to low, 1 from high on, a straight line between."""
    return min(1.0, max(0.0, (raw - low) / (high - low)))


def utilities_of(
    components: Iterable[Component], raw: Mapping[str, float], language: str
) -> dict[str, float]:
    """Component type -> utility in [0, 1], of the raw values that the scorers measured."""

    def utility(c: Component) -> float:
        if c.max_cer is not None and raw["cer"] > c.max_cer:
            return 0.0
        if isinstance(c, Rate):
            return c.utility(raw[c.type], language)
        return c.utility(raw[c.type])

    return {c.type: utility(c) for c in components}


def compose(
    utilities: Mapping[str, float],
    weights: Mapping[str, float],
    how: Composition = "harmonic",
    least: float = 0.0,
) -> float:
    """One reward in [0, 1]; a component of weight 0 takes no part.

    harmonic: weighted harmonic mean, so that a good utility cannot buy back a bad one; a utility
    below `least` counts as that much, which Deep-unlearning sets to 1e-8.
    linear: weighted mean. product: each utility to the power of its weight, multiplied.
    """
    weighted = [(weights[name], u) for name, u in utilities.items() if weights[name] > 0]
    total = sum(w for w, _ in weighted)
    match how:
        case "harmonic":
            raised = [(w, max(least, u)) for w, u in weighted]
            if min(u for _, u in raised) <= 0.0:
                return 0.0
            reward = total / sum(w / u for w, u in raised)
        case "linear":
            reward = sum(w * u for w, u in weighted) / total
        case "product":
            reward = math.prod(u**w for w, u in weighted)
    return min(1.0, max(0.0, reward))
