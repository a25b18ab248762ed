"""What `ttsrl status` says of the Job that evaluates while training runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.kube_api import Answer, Asked, api_server, as_json
from support.releases import release
from ttsrl.kube import follow
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.pending import ON_NODES
from ttsrl.kube.place import chosen


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    yield
    chosen.kubeconfig = None


def test_of_other_people_s_pods_it_asks_for_those_on_nodes_alone(tmp_path: Path) -> None:
    names = release().names
    waiting = {
        "metadata": {"name": "ttsrl-follow-x", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": []},
        "status": {
            "phase": "Pending",
            "conditions": [
                {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
            ],
        },
    }
    selected: dict[str, str] = {}

    def answer(asked: Asked) -> Answer:
        _, path, query, _ = asked
        selected[path] = query.get("labelSelector", query.get("fieldSelector", [""]))[0]
        items = {"/api/v1/nodes": [{"metadata": {"name": "n"}, "status": {"allocatable": {}}}]}
        own = [waiting] if path == "/api/v1/namespaces/speech/pods" else []
        return 200, as_json({"items": items.get(path, own)})

    with api_server(answer, tmp_path) as file:
        chosen.kubeconfig = file
        [line] = follow.lines(Cluster(), names)
    assert line.startswith("  ttsrl-follow-x: Pending: ")
    assert selected["/api/v1/pods"] == ON_NODES
    own = "app.kubernetes.io/instance=ttsrl,ttsrl.dev/run=ttsrl,app.kubernetes.io/component=follow"
    assert selected["/api/v1/namespaces/speech/pods"] == own
