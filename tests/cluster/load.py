"""Load on a release's reward service, from a pod of that release."""

from __future__ import annotations

import json
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import Manifest, Namespace
from testbed.paths import VERSION

SCRIPT = Path(__file__).with_name("load_pod.py")


@dataclass
class PodLoad:
    """Requests under way, and what came of them once they are over."""

    namespace: Namespace
    pod: str
    scored: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    """Scores unlike those that the same utterances got before."""
    asked_once: dict[str, int] = field(default_factory=dict)
    """HTTP statuses and errors of requests that nobody repeated."""

    def calm(self) -> None:
        """One utterance at a time from now on."""
        self._touch("calm")

    def stop(self) -> None:
        self._touch("stop")
        pod = f"pod/{self.pod}"
        self.namespace.kubectl(
            "wait", pod, "--for=jsonpath={.status.phase}=Succeeded", "--timeout=180s"
        )
        told = json.loads(self.namespace.kubectl("logs", pod).splitlines()[-1])
        outcomes = told["outcomes"]
        self.scored = outcomes.pop("scored", 0)
        self.failed, self.wrong, self.asked_once = outcomes, told["wrong"], told["asked_once"]

    def _touch(self, name: str) -> None:
        self.namespace.kubectl("exec", self.pod, "--", "touch", f"/tmp/{name}")


@contextmanager
def load(
    namespace: Namespace, at_once: int, release: str = "ttsrl", machine: str | None = None
) -> Generator[PodLoad]:
    """`at_once` utterances at a time on a release, from when the first are asked for."""
    name = f"load-{secrets.token_hex(2)}"
    pod = pod_of(release, name, "-c", SCRIPT.read_text(), str(at_once))
    if machine:
        pod["spec"]["nodeName"] = machine
    namespace.apply([pod])
    started = ("exec", name, "--", "ls", "/tmp/started")

    def asks() -> bool:
        return namespace.kubectl(*started, check=False) == "/tmp/started\n"

    namespace.until("the first requests", asks, 180)
    yield PodLoad(namespace, name)
    namespace.kubectl("delete", "pod", name, "--grace-period=1")


def pod_of(release: str, name: str, *arguments: str) -> Manifest:
    """A pod that runs Python with what the jobs of a release have: run, token, environment."""

    def volume(kind: str, **source: Any) -> Manifest:
        return {"name": kind, **source}

    mounts = {"run": "/etc/ttsrl", "token": "/var/run/ttsrl/token", "tmp": "/tmp"}
    labels = {"app.kubernetes.io/name": "ttsrl", "app.kubernetes.io/instance": release}
    container = {
        "name": "python",
        "image": f"ttsrl-jobs:{VERSION}",
        "command": ["python", *arguments],
        "envFrom": [{"configMapRef": {"name": f"{release}-env"}}],
        "volumeMounts": [{"name": key, "mountPath": path} for key, path in mounts.items()],
        "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                volume("run", configMap={"name": f"{release}-run"}),
                volume("token", secret={"secretName": f"{release}-token"}),
                volume("tmp", emptyDir={}),
            ],
        },
    }
