"""A guard's stop is told as one by every operator, also by those that know exit codes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.kube_api import Answer, Asked, api_server, as_json
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import Kind
from ttsrl.kube.names import Names
from ttsrl.kube.place import chosen
from ttsrl.kube.status import Status, told

NAMES = Names("ttsrl", "ttsrl", "ttsrl")
LOG = "step 8/24: reward 0.5\nstopped: guard short at step 8: end_token_rate is 0.4\n"
PODS: dict[Kind, tuple[str, dict[str, str]]] = {
    "pytorchjob": ("PyTorchJob", {"training.kubeflow.org/replica-type": "master"}),
    "trainjob": ("TrainJob", {"batch.kubernetes.io/job-completion-index": "0"}),
}


def status_of(kind: Kind, condition: str, log: str, folder: Path) -> Status:
    def answer(asked: Asked) -> Answer:
        return (200, log.encode()) if asked[1].endswith("/log") else (404, as_json({}))

    name, labels = PODS[kind]
    metadata: dict[str, Any] = {"name": "train-0", "labels": labels}
    pod = {"metadata": metadata, "spec": {"containers": []}, "status": {"phase": "Failed"}}
    failed = {"type": condition, "status": "True", "message": "it exited with code 3"}
    job: dict[str, Any] = {"kind": name, "metadata": {"name": "train"}, "spec": {}}
    job["status"] = {"conditions": [failed]}
    with api_server(answer, folder) as file:
        chosen.kubeconfig = file
        return told(Cluster(), NAMES, kind, job, [pod], None, None, [])


@pytest.mark.parametrize("kind", ["pytorchjob", "trainjob"])
def test_its_phase_is_stopped_where_its_log_tells_of_a_guard(
    kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chosen, "kubeconfig", None)
    stopped = status_of(kind, "Failed", LOG, tmp_path)
    assert stopped.as_json([])["phase"] == "stopped"
    assert stopped.as_json([])["stopped_by"] == "guard short at step 8: end_token_rate is 0.4"
    assert "stopped by a guard: it is not retried" in stopped.lines()[0]
    assert status_of(kind, "Failed", "error: no\n", tmp_path).state.phase == "failed"
    assert status_of(kind, "Running", LOG, tmp_path).state.phase != "stopped"
