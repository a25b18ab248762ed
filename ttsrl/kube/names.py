"""Names of the objects of one Helm release, and the paths at which pods find what they mount.

The chart's templates give these names and the manifests of jobs/ use them; nothing else may spell
them out.
"""

from __future__ import annotations

from dataclasses import dataclass

from ttsrl.errors import BadInput

RUN_FILE = "/etc/ttsrl/run.json"
TOKEN_FILE = "/var/run/ttsrl/token/token"
S3_CREDENTIALS_FILE = "/var/run/ttsrl/s3/credentials"
HF_TOKEN_FILE = "/var/run/ttsrl/huggingface/token"
MODELS_FOLDER = "/models"

REWARD_PORT = 3000
"""Scores, health and metrics of the reward service; the Service's port is called http."""
METRICS_PORT = 9400
"""The trainer's metrics; the container's port is called metrics."""

POOL_LABEL = "ttsrl.dev/pool"
"""Label of nodes: reward, train or cpu."""
GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
"""Label that NVIDIA's feature discovery gives to nodes."""

MAX_RAYJOB_CHARS = 47
"""KubeRay refuses a longer name of a RayJob."""


@dataclass(frozen=True)
class Names:
    """Names that the chart gives to what belongs to a release."""

    release: str

    def __post_init__(self) -> None:
        if len(self.train) > MAX_RAYJOB_CHARS:
            raise BadInput(
                f"{self.train!r}, the RayJob of the release {self.release!r}, has "
                f"{len(self.train)} characters and KubeRay takes {MAX_RAYJOB_CHARS}; "
                "install under a shorter release name"
            )

    @property
    def fullname(self) -> str:
        """Prefix of every name; a release whose name tells what it is needs no suffix."""
        return self.release if "ttsrl" in self.release else f"{self.release}-ttsrl"

    @property
    def run(self) -> str:
        """ConfigMap with run.json."""
        return f"{self.fullname}-run"

    @property
    def env(self) -> str:
        """ConfigMap with the environment of every pod."""
        return f"{self.fullname}-env"

    @property
    def token(self) -> str:
        """Secret with the token of the scoring routes."""
        return f"{self.fullname}-token"

    @property
    def s3(self) -> str:
        """Secret with the S3 credentials, unless the values name another; made by the user."""
        return f"{self.fullname}-s3"

    @property
    def huggingface(self) -> str:
        """Secret with the Hugging Face token, unless the values name another; made by the user."""
        return f"{self.fullname}-huggingface"

    @property
    def trackers(self) -> str:
        """Secret with the keys of the run's trackers, as variables; made by the user."""
        return f"{self.fullname}-trackers"

    @property
    def models(self) -> str:
        """PersistentVolumeClaim of the model cache."""
        return f"{self.fullname}-models"

    @property
    def reward(self) -> str:
        """Deployment, Service and ServiceAccount of the reward service."""
        return f"{self.fullname}-reward"

    @property
    def train(self) -> str:
        """ServiceAccount of the trainer; RayJob or PyTorchJob."""
        return f"{self.fullname}-train"

    @property
    def jobs(self) -> str:
        """ServiceAccount of merge and evaluation."""
        return f"{self.fullname}-jobs"

    @property
    def follow(self) -> str:
        """Job that evaluates checkpoints while training continues."""
        return f"{self.fullname}-follow"

    @property
    def queue(self) -> str:
        """LocalQueue of Kueue."""
        return self.fullname
