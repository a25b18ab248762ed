"""Which cluster this process speaks to: what --context and --kubeconfig of a command chose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class ClusterChoice:
    """None is what kubectl itself would take."""

    context: str | None = None
    kubeconfig: Path | None = None

    @property
    def file(self) -> str | None:
        return None if self.kubeconfig is None else str(self.kubeconfig)

    @property
    def as_given(self) -> str:
        """The options, as they were given; "" without any."""
        given = {"--kubeconfig": self.kubeconfig, "--context": self.context}
        return " ".join(f"{name} {value}" for name, value in given.items() if value is not None)


chosen = ClusterChoice()
