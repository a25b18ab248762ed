"""`ttsrl status --json`: all runs of a release, or one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.kube_api import Answer, Asked, api_server, as_json
from ttsrl.cli.app import app

ABOUT = {"fullname": "ttsrl", "run": {"name": "ttsrl"}}


def job(name: str, run: str, status: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": "ttsrl", "ttsrl.dev/run": run}
    metadata = {"name": name, "labels": labels, "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {
        "kind": "RayJob",
        "metadata": metadata,
        "spec": {"backoffLimit": 5},
        "status": {"jobDeploymentStatus": status},
    }


JOBS = [job("ttsrl-train", "ttsrl", "Complete"), job("ttsrl-b-train", "b", "Running")]


def cluster_of(jobs: list[dict[str, Any]], asked: Asked) -> Answer:
    path = asked[1]
    if path.endswith("/configmaps"):
        return 200, as_json({"items": [{"data": {"release.json": json.dumps(ABOUT)}}]})
    if path.endswith("/rayjobs"):
        return 200, as_json({"items": jobs})
    for one in jobs:
        if path.endswith(f"/rayjobs/{one['metadata']['name']}"):
            return 200, as_json(one)
    if path.endswith(("/pods", "/jobs", "/events")):
        return 200, as_json({"items": []})
    return 404, as_json({})


def status_of(tmp_path: Path, jobs: list[dict[str, Any]], *options: str) -> Any:
    with api_server(lambda asked: cluster_of(jobs, asked), tmp_path) as kubeconfig:
        command = ["status", "--json", "--kubeconfig", str(kubeconfig), *options]
        done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_programs_get_a_list_of_all_runs_or_the_one_they_name(tmp_path: Path) -> None:
    listed = status_of(tmp_path, JOBS)
    assert [(one["run"], one["job"], one["phase"]) for one in listed] == [
        ("ttsrl", "RayJob ttsrl-train", "done"),
        ("b", "RayJob ttsrl-b-train", "running"),
    ]
    assert status_of(tmp_path, JOBS, "--run", "b") == listed[1]
    assert status_of(tmp_path, []) == []


@pytest.mark.parametrize("source", ["nowhere", "s3://bucket/runs/a"])
def test_a_report_of_what_is_published_wants_a_folder_to_write_into(source: str) -> None:
    done = CliRunner().invoke(app, ["report", source])
    assert done.exit_code == 2
    assert "give --to DIR" in done.stderr
