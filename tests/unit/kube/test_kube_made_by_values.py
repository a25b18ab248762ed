"""A training job that `train.create` has made: commands find it, and leave it to its release."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.helm_chart import Manifest, render
from support.kube_api import Answer, Asked, api_server, as_json
from support.releases import merged, release
from ttsrl.errors import BadInput
from ttsrl.kube import follow, training
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.pause import pause
from ttsrl.kube.place import chosen
from ttsrl.kube.runs import own_run
from ttsrl.kube.state import PAUSED

VALUES: dict[str, Any] = {"run": {"eval": {"during_training": {}}}}


class CreatedServer:
    """A cluster with what the chart makes of training; changes are kept."""

    def __init__(self, status: dict[str, Any]) -> None:
        self.wrote: list[tuple[str, str]] = []
        self.objects: dict[str, Manifest] = {}
        for one in render(merged(VALUES, {"train": {"create": True}})):
            if one["kind"] in ("RayJob", "Job"):
                one["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
                one["status"] = status if one["kind"] == "RayJob" else {}
                self.objects[f"{one['kind'].lower()}s/{one['metadata']['name']}"] = one

    def __getitem__(self, kind: str) -> Manifest:
        [found] = [one for one in self.objects.values() if one["kind"] == kind]
        return found

    def __call__(self, asked: Asked) -> Answer:
        method, path, query, body = asked
        plural = path.rpartition("/")[2]
        if plural in ("rayjobs", "jobs", "pods"):
            wanted = dict(one.split("=") for one in query["labelSelector"][0].split(","))
            return 200, as_json(
                {
                    "items": [
                        one
                        for name, one in self.objects.items()
                        if name.startswith(f"{plural}/")
                        and wanted.items() <= one["metadata"]["labels"].items()
                    ]
                }
            )
        name = "/".join(path.split("/")[-2:])
        if name not in self.objects:
            return 404, as_json({})
        if method != "GET":
            self.wrote.append((method, name))
        if method == "DELETE":
            return 200, as_json(self.objects.pop(name))
        if method == "PATCH":
            self.objects[name] = merged(self.objects[name], json.loads(body))
        return 200, as_json(self.objects[name])


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    yield
    chosen.kubeconfig = None


def test_one_that_runs_is_found_stopped_and_resumed(tmp_path: Path) -> None:
    server = CreatedServer({"jobDeploymentStatus": "Running"})
    there = release(VALUES)
    with api_server(server, tmp_path) as file:
        chosen.kubeconfig = file
        cluster = Cluster()
        kind, job = training.the_job(cluster, there.names)
        name = job["metadata"]["name"]
        assert (kind, name) == ("rayjob", server["RayJob"]["metadata"]["name"])
        assert training.find(cluster, there.names.of_run("b"), "rayjob") is None
        said = training.submit(cluster, there, own_run(there), "rayjob")
        assert said.startswith(f"RayJob {name} is there already")
        with pytest.raises(BadInput, match="an object of the release, which has"):
            training.submit(cluster, there, own_run(there), "pytorchjob")
        assert server.wrote == []

        pause(cluster, there.names, kind, job)
        follow.pause(cluster, there.names)
        assert PAUSED in server["RayJob"]["metadata"]["annotations"]
        assert server["RayJob"]["spec"]["suspend"] is server["Job"]["spec"]["suspend"] is True
        said = training.submit(cluster, there, own_run(there), "rayjob")
        assert said == f"RayJob {name} was suspended, and runs again"
        follow.submit(cluster, there, own_run(there))
        assert server["RayJob"]["spec"]["suspend"] is server["Job"]["spec"]["suspend"] is False
        assert len(server.objects) == 2

        training.delete(cluster, there.names, kind)
        assert follow.delete(cluster, there.names)
        assert server.objects == {}


def test_one_that_has_ended_is_not_replaced_beside_its_release(tmp_path: Path) -> None:
    server = CreatedServer({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"})
    there = release(VALUES)
    with api_server(server, tmp_path) as file:
        chosen.kubeconfig = file
        with pytest.raises(BadInput, match=r"\(train.create\) and has ended: done"):
            training.submit(Cluster(), there, own_run(there), "rayjob")
    assert server.wrote == []
