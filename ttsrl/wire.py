"""What is carried between rooms and over the wire: an Utterance goes in, one Outcome comes out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field

MAX_UTTERANCES = 4_096
"""Most utterances of one request."""
RUN_HEADER = "ttsrl-run"
"""Header of a scoring request with the name of its run: each run has a queue of its own."""
RUN_NAME = r"^[a-z0-9]([-a-z0-9]{0,45}[a-z0-9])?$"
"""Names of runs."""


class Wire(BaseModel):
    """Base of every message: unknown keys and non-finite numbers are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


class SpokenAfter(Wire):
    """The reference that an utterance continues."""

    speech_tokens: list[int] = Field(default=[], max_length=65_536)
    """Of it: decoded before the utterance's, and cut away from what is measured."""
    audio: Base64Bytes | None = None
    """An audio file's contents, where the codec speaks in its voice or a component compares with
    it."""


class Utterance(Wire):
    """One rollout as the reward service sees it."""

    text: str = Field(min_length=1, max_length=10_000)
    """What should have been said."""
    speech_tokens: list[int] = Field(max_length=65_536)
    """Codec indices; -1 stands for a generated token that is not a speech token."""
    language: str = "en"
    """ISO 639-1 code of `text`."""
    finished: bool = True
    """Whether the policy ended the utterance itself with its end token."""
    id: str | None = None
    """The sender's name for it, echoed nowhere but in logs."""
    style: str | None = None
    """Wanted speaking style in words."""
    speaker: str | None = None
    """Name of the reference voice."""
    label: str | None = None
    """What a classifier is to hear, such as an emotion or an accent."""
    reference: SpokenAfter | None = None


class Ok(Wire):
    """A measured utterance."""

    status: Literal["ok"] = "ok"
    reward: float = Field(ge=0.0, le=1.0)
    raw: dict[str, float]
    """Scorer name -> value in natural units (CER as a ratio, NLL in nats per token)."""
    utilities: dict[str, float]
    """Scorer name -> value in [0, 1], larger is better."""
    transcript: str | None = None
    """What Whisper heard; null where no component of the reward listens with it."""
    duration_s: float


class Gated(Wire):
    """Bad speech whatever its scores: the reward is 0 and the reason is counted."""

    status: Literal["gated"] = "gated"
    reward: Literal[0] = 0
    reason: str
    """A name of the closed list in `ttsrl.reward.gates`."""
    detail: str = ""
    duration_s: float = 0.0


FAILURES = ("decode", "scorer", "deadline", "nan", "unreachable", "rejected")
"""Kinds of `Failed`."""


class Failed(Wire):
    """A broken measurement: no statement about the speech. Retried, then left out of its group."""

    status: Literal["error"] = "error"
    kind: str
    """One of `FAILURES`."""
    detail: str = ""


Outcome = Annotated[Ok | Gated | Failed, Field(discriminator="status")]


class ScoreRequest(Wire):
    """Body of `POST /v1/score`."""

    utterances: list[Utterance] = Field(max_length=MAX_UTTERANCES)


class ScoreResponse(Wire):
    """Answer of `POST /v1/score`: one outcome per utterance, in the order of the request."""

    outcomes: list[Outcome]
    spec_hash: str
    """Hash of the reward specification that gave these outcomes."""


class ServiceSpec(Wire):
    """Answer of `GET /v1/spec`: what a reward service measures, and with which programs."""

    spec_hash: str
    """Hash of the reward specification; two services that share it give the same rewards."""
    specification: dict[str, Any]
    """What the hash is of: digests of the models, normaliser, components, gates, precision."""
    versions: dict[str, str]
    """Distribution name -> version, `ttsrl` among them."""
    models: dict[str, str] = {}
    """Key of the run -> model, ids with their commit: where the digests' files come from."""
    codec: str
    codebook_size: int
    frame_tokens: int = 1
    """Speech tokens of a frame, each out of its own part of the codebook; 1 where every token may
    stand anywhere."""
    sample_rate_hz: int
    tokens_per_s: float


class AuditClip(Wire):
    """A recording that says its text, cleanly."""

    text: str = Field(min_length=1, max_length=10_000)
    language: str = "en"
    audio: Base64Bytes
    """An audio file's contents."""
    speaker: str | None = None
    """Name of the reference voice that speaks."""


class AuditRequest(Wire):
    """Body of `POST /v1/audit`. Sent again while the audit runs, it asks how far it is."""

    clips: list[AuditClip] = Field(min_length=2, max_length=32)


class AuditFinding(Wire):
    """What the reward makes of one way to spoil speech."""

    name: str
    """A name of the closed list in `ttsrl.reward.audited`."""
    clean: list[float]
    """Reward that each utterance has to stay below: its clean twin's."""
    rewards: list[float]
    """Of each utterance."""
    gates: dict[str, int]
    """What gated how many of them."""


class AuditReport(Wire):
    """An audit that is done."""

    status: Literal["done"] = "done"
    spec_hash: str
    """Of the reward that was audited."""
    clean: list[float]
    """Reward of each recording as it is."""
    findings: list[AuditFinding]


class AuditRunning(Wire):
    """An audit that is not done: ask again."""

    status: Literal["running"] = "running"
    done: int
    total: int
    """Utterances; 0 until it is known."""


class AuditRefused(Wire):
    """An audit that has no result."""

    status: Literal["refused"] = "refused"
    reason: Literal["clips", "measurement"]
    """clips: they are not clean speech to this reward. measurement: it failed or was late, again
    and again; another time it may not."""
    detail: str


class AuditAnswer(Wire):
    """Answer of `POST /v1/audit`."""

    audit: AuditReport | AuditRunning | AuditRefused = Field(discriminator="status")
