"""Trackers by their names, and what each needs before a run starts."""

from __future__ import annotations

import netrc
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from ttsrl.config.tracking import (
    MlflowConfig,
    TensorboardConfig,
    TrackerConfig,
    TrackioConfig,
    WandbConfig,
)
from ttsrl.errors import BadInput
from ttsrl.tracking.base import About, Tracker

PACKAGES = {
    "tensorboard": ["tensorboard", "torch"],
    "wandb": ["wandb"],
    "mlflow": ["mlflow"],
    "trackio": ["trackio"],
}
"""Tracker -> what it imports; the extra that brings it has its name."""
WANDB_HOST = "api.wandb.ai"
LOST = "would write into the pod, whose disk goes with it"


def open_tracker(config: TrackerConfig, folder: Path, about: About) -> Tracker:
    """The run in a tracker, its own or a new one; raises whatever the tracker's client does."""
    match config:
        case TensorboardConfig():
            from ttsrl.tracking.to_tensorboard import TensorboardTracker

            return TensorboardTracker(folder / f"{about.name}-{about.id}", about)
        case WandbConfig():
            from ttsrl.tracking.to_wandb import WandbTracker

            return WandbTracker(config, folder, about)
        case MlflowConfig():
            from ttsrl.tracking.to_mlflow import MlflowTracker

            return MlflowTracker(config, folder, about)
        case TrackioConfig():
            from ttsrl.tracking.to_trackio import TrackioTracker

            return TrackioTracker(config, folder, about)


def writes_files(config: TrackerConfig) -> bool:
    """Whether a tracker's files, which only grow, are kept in storage."""
    return config.type == "tensorboard" or (config.type == "wandb" and not config.online)


def check_trackers(trackers: Sequence[TrackerConfig], *, in_cluster: bool) -> None:
    """Each must be installed, have its key, and keep what it is told. Raises BadInput.

    Nobody is asked whether a server answers: one that is down when a run starts is told later.
    """
    for tracker in trackers:
        missing = [name for name in PACKAGES[tracker.type] if find_spec(name) is None]
        if missing:
            raise BadInput(
                f"trackers: {missing[0]} is not installed; pip install 'ttsrl[{tracker.type}]', or "
                f"leave {tracker.type!r} out"
            )
        key = _key_of(tracker)
        if key is not None and not _has_key(tracker):
            login = f", or run {key.login}" if key.login else ""
            raise BadInput(
                f"trackers: {key.why}, and has no key; set {key.variable}{login}; or leave "
                f"{key.setting} out"
            )
        if in_cluster and (place := _lost_with_the_pod(tracker, os.environ)):
            raise BadInput(f"trackers: {tracker.type} {LOST}; give {place}")


def lacks_in_pod(tracker: TrackerConfig, variables: Collection[str]) -> str:
    """What a tracker lacks in a pod with these environment variables; nothing where it has all."""
    key = _key_of(tracker)
    if key is not None and key.variable not in variables:
        return f"{key.why}, and the pods have no {key.variable}"
    place = _lost_with_the_pod(tracker, variables)
    return f"{LOST}; give {place}" if place else ""


@dataclass(frozen=True)
class _Key:
    """What a tracker is let in by."""

    why: str
    variable: str
    setting: str
    """Of the tracker: without it no key is needed."""
    login: str = ""
    """A command that keeps the key on this machine."""


def _key_of(tracker: TrackerConfig) -> _Key | None:
    match tracker:
        case WandbConfig(online=True):
            return _Key("wandb is online", "WANDB_API_KEY", "online", "wandb login")
        case TrackioConfig(space=str(space)):
            why = f"trackio sends to the Space {space}"
            return _Key(why, "HF_TOKEN", "space", "hf auth login")
        case TrackioConfig(address=str(address)):
            return _Key(f"trackio sends to {address}", "TRACKIO_WRITE_TOKEN", "address")
        case _:
            return None


def _has_key(tracker: TrackerConfig) -> bool:
    match tracker:
        case WandbConfig():
            return bool(_wandb_key(tracker))
        case TrackioConfig(space=str()):
            from huggingface_hub import get_token

            return bool(get_token())
        case _:
            return bool(os.environ.get("TRACKIO_WRITE_TOKEN"))


def _wandb_key(tracker: WandbConfig) -> str | None:
    if key := os.environ.get("WANDB_API_KEY"):
        return key
    address = tracker.address or os.environ.get("WANDB_BASE_URL")
    host = urlsplit(address).hostname if address else WANDB_HOST
    try:
        found = netrc.netrc(os.environ.get("NETRC")).authenticators(host or WANDB_HOST)
    except (OSError, netrc.NetrcParseError):
        return None
    return found[2] if found else None


def _lost_with_the_pod(tracker: TrackerConfig, variables: Collection[str]) -> str:
    """The key that says where else to send it; nothing where it is kept."""
    match tracker:
        case MlflowConfig(address=None) if "MLFLOW_TRACKING_URI" not in variables:
            return "its address, or MLFLOW_TRACKING_URI"
        case TrackioConfig(space=None, address=None):
            return "its space or its address"
        case _:
            return ""
