"""Names of the objects of one Helm release, and the paths at which pods find what they mount.

The chart's templates give these names and paths; a test holds both equal.
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

RUN_LABEL = "ttsrl.dev/run"
"""Label of a run's jobs, their pods and its ConfigMap: the run's name."""
MAX_RAYJOB_CHARS = 47
"""KubeRay refuses a longer name of a RayJob."""


@dataclass(frozen=True)
class Names:
    """Names of what belongs to a release, and of the jobs of one of its runs."""

    release: str
    fullname: str
    """Prefix of every name that the chart gives."""
    run: str
    """The run's own name, which its jobs have as a label."""
    own: bool = True
    """Whether it is the run of the release's values; another run's jobs have its name in theirs."""

    def __post_init__(self) -> None:
        if len(self.train) > MAX_RAYJOB_CHARS:
            raise BadInput(
                f"{self.train!r}, the RayJob of the run {self.run!r}, has {len(self.train)} "
                f"characters and KubeRay takes {MAX_RAYJOB_CHARS}; give the run a shorter --name"
            )

    def of_run(self, run: str | None) -> Names:
        """Names of another run of the same release; of its own run where None is given."""
        return self if run in (None, self.run) else Names(self.release, self.fullname, run, False)

    @property
    def job(self) -> str:
        """Prefix of the names of the run's jobs."""
        return self.fullname if self.own else f"{self.fullname}-{self.run}"

    @property
    def train(self) -> str:
        """RayJob or PyTorchJob."""
        return f"{self.job}-train"

    @property
    def follow(self) -> str:
        """Job that evaluates checkpoints while training continues."""
        return f"{self.job}-follow"

    @property
    def stopped(self) -> str:
        """ConfigMap that says that a user stopped the run."""
        return f"{self.fullname}-stopped-{self.run}"

    @property
    def reward(self) -> str:
        """Deployment and Service of the reward service."""
        return f"{self.fullname}-reward"

    @property
    def selector(self) -> str:
        """Selects the objects of the run."""
        return f"app.kubernetes.io/instance={self.release},{RUN_LABEL}={self.run}"
