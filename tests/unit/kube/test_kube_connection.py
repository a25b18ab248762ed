"""A cluster that is chosen, that is away for a while, and whose connections break."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.kube_api import Answer, Asked, api_server, as_json
from ttsrl.cli.app import app
from ttsrl.errors import BadInput, Failure
from ttsrl.kube import cluster as connection
from ttsrl.kube import pod_log
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.place import chosen
from ttsrl.kube.pod_log import PodLog
from ttsrl.kube.state import state_of
from ttsrl.kube.status import Surroundings
from ttsrl.kube.suspend import resume, suspend


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(connection, "RETRY_S", 0.01)
    monkeypatch.setattr(pod_log, "RETRY_S", 0.01)
    yield
    chosen.context = chosen.kubeconfig = None


def test_the_context_chooses_cluster_and_namespace(tmp_path: Path) -> None:
    with api_server(lambda _: (200, b"{}"), tmp_path) as file:
        chosen.kubeconfig = file
        assert Cluster().namespace == "speech"
        chosen.context = "other"
        assert Cluster().namespace == "elsewhere"
        assert Cluster("mine").namespace == "mine"
        chosen.context = "absent"
        with pytest.raises(BadInput, match=r"--context absent: .*get-contexts"):
            Cluster()


@pytest.mark.parametrize("command", ["submit", "status", "logs", "stop", "doctor", "pull"])
def test_every_command_of_a_cluster_takes_the_options_of_kubectl(command: str) -> None:
    shown = CliRunner(env={"COLUMNS": "120"}).invoke(app, [command, "--help"]).output
    assert "--context" in shown and "--kubeconfig" in shown and "--namespace" in shown


def test_an_api_server_that_is_away_is_waited_for_by_what_follows_a_job(tmp_path: Path) -> None:
    answers: list[Answer] = [(503, b"{}"), (500, b"{}"), (429, b"{}"), (200, b'{"kind": "Pod"}')]
    with api_server(lambda _: answers.pop(0), tmp_path) as file:
        chosen.kubeconfig = file
        cluster = Cluster()
        cluster.patience_s = 120.0
        assert cluster.get("/api/v1/x") == {"kind": "Pod"}
        answers[:] = [(503, b"{}")]
        with pytest.raises(Failure, match="the cluster answers 503"):
            Cluster().get("/api/v1/x")
        answers[:] = [(403, b"{}")]
        with pytest.raises(BadInput):
            cluster.get("/api/v1/x")  # patience does not help there


def test_a_log_is_followed_over_a_connection_that_breaks_and_a_server_that_is_away(
    tmp_path: Path,
) -> None:
    """Each line once: those of the second at which a connection broke come again."""
    at = "2026-11-29T10:00:0"
    first = f"{at}0.000000001Z one\n{at}1.000000000Z two\n{at}1.000000000Z three\n{at}2.0"
    again = (
        f"{at}1.000000000Z two\n{at}1.000000000Z three\n{at}1.000000000Z four\n"
        f"{at}2.000000000Z five\n{at}3.000000000Z no newline"
    )
    logs: list[Answer] = [(400, b"{}"), (200, first.encode()), (503, b"{}"), (200, again.encode())]
    phases = ["Running", "Succeeded"]
    since: list[list[str]] = []

    def answer(asked: Asked) -> Answer:
        _, path, query, _ = asked
        if path.endswith("/log"):
            since.append(query.get("sinceTime", []))
            return logs.pop(0)
        return 200, as_json({"status": {"phase": phases.pop(0)}})

    with api_server(answer, tmp_path) as file:
        chosen.kubeconfig = file
        cluster = Cluster()
        cluster.patience_s = 120.0
        lines = list(PodLog(cluster, "trainer").follow())
    assert lines == ["one", "two", "three", "four", "five", "no newline"]
    assert since == [[], [], [f"{at}1.000000000Z"], [f"{at}1.000000000Z"]]


def test_the_whole_cluster_is_listed_once_for_all_runs_and_page_by_page(tmp_path: Path) -> None:
    asked_for: list[tuple[str, list[str]]] = []

    def answer(asked: Asked) -> Answer:
        _, path, query, _ = asked
        more = query.get("continue", [])
        asked_for.append((path, more))
        name = f"{path[-5:]}{len(more)}"
        metadata = {} if more or path.endswith("nodes") else {"continue": "next"}
        return 200, as_json({"metadata": metadata, "items": [{"metadata": {"name": name}}]})

    with api_server(answer, tmp_path) as file:
        chosen.kubeconfig = file
        around = Surroundings(Cluster())
        for _ in range(5):
            around.look()
    assert asked_for == [("/api/v1/nodes", []), ("/api/v1/pods", []), ("/api/v1/pods", ["next"])]
    assert [pod["metadata"]["name"] for pod in around.pods or ()] == ["/pods0", "/pods1"]


def test_a_job_that_is_suspended_tells_who_did_it_and_runs_again(tmp_path: Path) -> None:
    job: dict[str, Any] = {
        "kind": "RayJob",
        "metadata": {"annotations": {}},
        "spec": {"backoffLimit": 5},
    }
    paths: list[str] = []

    def answer(asked: Asked) -> Answer:
        method, path, _, body = asked
        assert method == "PATCH"
        paths.append(path)
        patch = json.loads(body)
        for key, value in patch["metadata"]["annotations"].items():
            job["metadata"]["annotations"][key] = value
            if value is None:
                del job["metadata"]["annotations"][key]
        job["spec"] |= patch["spec"]
        return 200, as_json(job)

    with api_server(answer, tmp_path) as file:
        chosen.kubeconfig = file
        suspend(Cluster(), "/rayjobs/x", "rayjob")
        assert state_of(job).phase == "paused" and job["spec"]["suspend"] is True
        assert not state_of(job).has_ended
        resume(Cluster(), "/rayjobs/x", "rayjob")
        assert state_of(job).phase == "starting" and job["spec"]["suspend"] is False
        suspend(Cluster(), "/pytorchjobs/x", "pytorchjob")
        assert job["spec"]["runPolicy"] == {"suspend": True}
    assert [path.split("/")[-2] for path in paths] == ["rayjobs", "rayjobs", "pytorchjobs"]
