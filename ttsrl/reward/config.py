"""Configuration of the reward: its recogniser, components, composition, gates and service."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ttsrl.audio.waveform import SILENCE_DBFS
from ttsrl.base import Strict
from ttsrl.facts import Adjustable, Fixed, InReward, OfDeployment, SecretPath
from ttsrl.reward.components import (
    HEARD_BY_WHISPER,
    Cer,
    Component,
    Composition,
    Nll,
    ScorerModel,
    Wer,
)
from ttsrl.reward.lineage import Lineage


class WhisperConfig(Strict):
    """The Whisper that gives transcript, NLL and language."""

    model: ScorerModel
    """Folder of a Hugging Face Whisper, or its id."""
    engine: Annotated[Literal["torch", "ctranslate2"], InReward("value")] = "torch"
    """What encodes and decodes; both give the same transcripts, and the NLL is always exact."""
    mode: Annotated[Literal["correct", "channel-io", "deep-unlearning"], InReward("value")] = (
        "correct"
    )
    """The last two give the values of those recipes: see `ttsrl.scorers.whisper.modes`."""
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], InReward("resolved")] = "auto"
    """What it computes in; auto is bfloat16 on a GPU, float32 on a CPU and for ctranslate2."""
    rows: int = Field(default=32, ge=1)
    """Utterances in the decoder at once, at most `batch_size`; with large-v3 each takes 0.3 GB."""
    lineage: Lineage = []
    """What it descends from, where that is not OpenAI's Whisper: see `eval.judges.lineage`."""


class Gates(Strict):
    """Limits beyond which a rollout is not speech of its text, whatever its scores."""

    min_level_dbfs: float = Field(default=SILENCE_DBFS, le=0)
    """A waveform whose loudest 50 ms lie below this is silence."""
    min_s_per_char: float = Field(default=0.01, ge=0)
    """Shorter than this many seconds per character: the text cannot have been spoken."""
    max_s_per_char: float = Field(default=0.5, gt=0)
    """Longer than this many seconds per character, plus `slack_s`: runaway."""
    slack_s: float = Field(default=1.0, ge=0)
    """Silence before and after that any text may have."""
    min_speech_s: float = Field(default=0.15, ge=0)
    """Sound in which Silero's voice-activity detector finds less speech than this, or less than
    `min_s_per_char` asks of the text, is no speech: shorter than any word. 0: not detected."""
    speech_threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which a frame of 32 ms is speech: Silero's own."""
    faint_threshold: float = Field(default=0.1, gt=0, lt=1)
    """Probability from which it may be: such speech, as of a voice that whispers, counts where
    Whisper hears it, too."""
    max_no_speech: float = Field(default=0.6, ge=0, le=1)
    """Whisper hears it, too, if its no-speech probability is not above this: its own limit. Alone
    it misjudges: short words have up to 0.7."""
    repetition_frames: int = Field(default=10, ge=1)
    """Frames within which a speech token is a repetition, as CosyVoice's sampling has it (10). A
    frame is one token, but in Orpheus' and Maya1's codebook, where it is seven: 0.85 s."""
    repetition_times: int = Field(default=1, ge=1)
    """How often it has to stand there: CosyVoice's 0.1 of the window."""
    max_repetition_s: float = Field(default=5.0, ge=0)
    """Longest that nothing but repetitions may last, pauses included; a text that repeats itself
    may take `max_s_per_char` for these characters on top."""
    max_repetition_share: float = Field(default=0.9, gt=0, le=1)
    """Largest share of a rollout that one such stretch may be, unless its text repeats itself."""
    max_compression_ratio: float = Field(default=2.4, gt=0)
    """A transcript beyond this ratio of its bytes to zlib's loops (Whisper's own limit), unless its
    text has a ratio that is not much smaller."""


def _recipe(given: dict[str, Any]) -> list[Component]:
    """The recipe that Whisper's mode belongs to; `given`: the fields before `components`."""
    whisper = given.get("whisper")  # missing where it is wrong itself, or not given
    return [Wer() if whisper and whisper.mode == "deep-unlearning" else Cer(), Nll()]


class RewardConfig(Strict):
    """What the reward service measures, and how its clients reach it."""

    url: Annotated[Adjustable[str], OfDeployment()] = "http://127.0.0.1:8000"
    """Address of the reward service."""
    whisper: Fixed[WhisperConfig | None] = None
    """What listens for `cer`, `wer`, `nll`, `language` and every `max_cer`; where no component
    needs it, it is not loaded, and null in the run."""
    components: Annotated[Fixed[list[Component]], InReward("value")] = Field(
        default_factory=_recipe, min_length=1
    )
    """What the reward is made of: each names its measurement, weight and utility. Without it CER
    (with whisper.mode "deep-unlearning" WER) and NLL."""
    composition: Annotated[Fixed[Composition], InReward("value")] = "harmonic"
    """How utilities become one reward: see `ttsrl.reward.components.compose`."""
    gates: Annotated[Fixed[Gates], InReward("value")] = Gates()
    batch_size: Adjustable[int] = Field(default=32, ge=1)
    """Utterances the service measures at once."""
    codec_precision: Annotated[
        Fixed[Literal["auto", "float32", "tfloat32", "bfloat16"]], InReward("resolved")
    ] = "auto"
    """What a GPU multiplies in when it decodes speech; auto is tfloat32. Nothing on a CPU."""
    cache_size: Fixed[int] = Field(default=10_000, ge=0)
    """Outcomes that each worker remembers, so that a rollout that comes again costs nothing."""
    scorer_deadline_s: Adjustable[float] = Field(default=60.0, gt=0)
    """Longest that one scorer may take for a batch; then its utterances fail (and are retried)."""
    sample_deadline_s: Adjustable[float] = Field(default=120.0, gt=0)
    """Longest wait for one score, retries included; then the rollout has no reward."""
    workers: Annotated[Adjustable[int], OfDeployment()] = Field(default=1, ge=1)
    """Processes that measure: as many as the service has GPUs; on CPUs they share the cores."""
    gpu_memory_utilization: Fixed[float | None] = Field(default=None, gt=0, le=1)
    """Share of its GPU that a worker may take, for a service on the GPU of the trainer; null: all
    that is free."""
    worker_deadline_s: Adjustable[float] = Field(default=90.0, gt=0)
    """A worker that takes longer for a batch is taken for hung, and another one replaces it."""
    queue_size: Adjustable[int] = Field(default=4096, ge=1)
    """Utterances that may wait of each run; more are to come back later (429). Runs that share a
    service take turns."""
    token_file: Annotated[Adjustable[str | None], SecretPath(), OfDeployment()] = None
    """File with the bearer token of the scoring routes; read again when it changes."""

    @property
    def listening(self) -> list[str]:
        """Components that Whisper measures, or that depend on its CER."""
        return [
            c.type for c in self.components if c.type in HEARD_BY_WHISPER or c.max_cer is not None
        ]

    @property
    def weights(self) -> dict[str, float]:
        """Component -> weight, of those that the reward is made of."""
        return {c.type: c.weight for c in self.components if c.weight > 0}

    @model_validator(mode="after")
    def _components_can_be_composed(self) -> Self:
        types = [component.type for component in self.components]
        if twice := sorted({t for t in types if types.count(t) > 1}):
            raise ValueError(f"the component {twice[0]!r} stands twice; keep one")
        if not any(component.weight > 0 for component in self.components):
            raise ValueError("every component has weight 0: nothing is rewarded; give one a weight")
        if self.listening and self.whisper is None:
            raise ValueError(
                f"the component {self.listening[0]!r} needs Whisper, and whisper.model is missing; "
                "name one, or leave the component out (max_cer needs Whisper too)"
            )
        return self


def without_unheard_whisper(reward: RewardConfig) -> RewardConfig:
    """The same without a Whisper to which no component listens: it need not even be there."""
    return reward if reward.listening else reward.model_copy(update={"whisper": None})
