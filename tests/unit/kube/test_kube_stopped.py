"""The note that a user stopped a run, by which an alert keeps quiet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.kube_api import Answer, Asked, api_server, as_json
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.names import Names
from ttsrl.kube.place import chosen
from ttsrl.kube.stopped import forget_stop, note_stop

NAMES = Names("ttsrl", "ttsrl", "ttsrl").of_run("b")


def test_a_stop_is_noted_once_and_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: dict[str, bytes] = {}

    def answer(asked: Asked) -> Answer:
        method, path, _, body = asked
        if method == "POST":
            there[f"{path}/{json.loads(body)['metadata']['name']}"] = body
            return 201, body
        if path in there:
            return 200, there.pop(path) if method == "DELETE" else there[path]
        jobs = {"metadata": {"name": "ttsrl-jobs", "uid": "of-the-jobs"}}
        return (200, as_json({"items": [jobs]})) if path.endswith("maps") else (404, as_json({}))

    with api_server(answer, tmp_path) as kubeconfig:
        monkeypatch.setattr(chosen, "kubeconfig", kubeconfig)
        cluster = Cluster()
        forget_stop(cluster, NAMES)
        note_stop(cluster, NAMES)
        note_stop(cluster, NAMES)
        [(path, body)] = there.items()
        assert path.endswith("/configmaps/ttsrl-stopped-b")  # as the rule TtsrlTrainGone has it
        [owner] = json.loads(body)["metadata"]["ownerReferences"]
        assert owner["uid"] == "of-the-jobs"
        forget_stop(cluster, NAMES)
        assert there == {}
