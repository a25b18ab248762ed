"""Which trackers a run is told to, beside its own log."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ttsrl.base import Strict

SECRET = re.compile(r"(token|key|password|secret|auth)=", re.IGNORECASE)
"""How the name of a secret ends, before its value in an address."""


def _without_secrets(address: str) -> str:
    scheme, _, rest = address.partition("://")
    # what is wrong is not quoted: it may be a password
    if scheme not in ("http", "https") or not rest:
        raise ValueError("an address is http://HOST or https://HOST; correct it")
    if "@" in rest.partition("/")[0] or SECRET.search(rest):
        raise ValueError(
            "the address has a password or a token in it, and a run's configuration is published; "
            "give that in the environment (docs/tracking.md)"
        )
    return address


Address = Annotated[str, AfterValidator(_without_secrets)]
"""Of a tracker's server."""


class TrackerBase(Strict):
    """What every tracker has."""

    rollouts_every: int = Field(default=10, ge=0)
    """Steps between two tables of rollouts with their audio; the first step has one. 0: none."""


class TensorboardConfig(TrackerBase):
    """TensorBoard's event files: trackers/tensorboard of the run's folder, and in storage."""

    type: Literal["tensorboard"]


class WandbConfig(TrackerBase):
    """Weights & Biases."""

    type: Literal["wandb"]
    project: str = Field(default="ttsrl", min_length=1)
    entity: str | None = None
    """Team or user; null: the one of the key."""
    online: bool = False
    """Send as it is written; the key is in WANDB_API_KEY. false: written to trackers/wandb of the
    run's folder, and in storage; `wandb sync` sends it."""
    address: Address | None = None
    """A server of one's own: https://wandb.example.org; null: WANDB_BASE_URL, or wandb.ai."""


class MlflowConfig(TrackerBase):
    """MLflow."""

    type: Literal["mlflow"]
    experiment: str = Field(default="ttsrl", min_length=1)
    address: Address | None = None
    """Of a tracking server: http://mlflow.example.org:5000; null: MLFLOW_TRACKING_URI, or a
    database in trackers/mlflow of the run's folder. User and password, or a token, are in
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or in MLFLOW_TRACKING_TOKEN."""


class TrackioConfig(TrackerBase):
    """Trackio."""

    type: Literal["trackio"]
    project: str = Field(default="ttsrl", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    space: str | None = None
    """Hugging Face Space to send to: OWNER/NAME; the key is in HF_TOKEN. null: a database in
    trackers/trackio of the run's folder."""
    address: Address | None = None
    """A server of one's own instead; its key is in TRACKIO_WRITE_TOKEN."""

    @model_validator(mode="after")
    def _goes_to_one_place(self) -> Self:
        if self.space is not None and self.address is not None:
            raise ValueError("trackio has a space and an address; leave one out")
        return self


TrackerName = Literal["tensorboard", "wandb", "mlflow", "trackio"]


def _named(given: Any) -> Any:
    """A tracker's name stands for it with its defaults."""
    return {"type": given} if isinstance(given, str) else given


TrackerConfig = TensorboardConfig | WandbConfig | MlflowConfig | TrackioConfig
NamedTracker = Annotated[
    Annotated[TrackerConfig, Field(discriminator="type")],
    BeforeValidator(_named, json_schema_input_type=TrackerName | TrackerConfig),
]


def each_once(trackers: list[TrackerConfig]) -> list[TrackerConfig]:
    """The trackers; ValueError where one is named twice."""
    names = [tracker.type for tracker in trackers]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{twice[0]!r} is named twice; leave one out")
    return trackers
