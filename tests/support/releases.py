"""Releases as the cluster would have them, from what the chart renders."""

from __future__ import annotations

import json
from typing import Any

from support.helm_chart import CHART, find, read_values, render
from ttsrl.kube.names import Names
from ttsrl.kube.release import Release, parse_run

VALUES = sorted((CHART / "values").glob("*.yaml"))
"""Values files for kinds of GPUs and numbers of nodes."""


def release(values: dict[str, Any] | None = None, name: str = "ttsrl") -> Release:
    """A release installed with these values."""
    made = render(values, release=name)
    [jobs] = [
        m for m in made if m["metadata"]["labels"].get("app.kubernetes.io/component") == "jobs"
    ]
    jobs["metadata"]["uid"] = "of-the-jobs"
    about = json.loads(jobs["data"]["release.json"])
    files = find(made, "ConfigMap", about["run"]["configMap"])["data"]
    environment = find(made, "ConfigMap", about["environment"])["data"]
    names = Names(name, about["fullname"], about["run"]["name"])
    run = parse_run(files["run.json"], "ConfigMap")
    return Release(names, run, files, environment, about["kind"], jobs)


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges values files."""
    result = dict(base)
    for key, value in changes.items():
        inner = base.get(key)
        if isinstance(value, dict) and isinstance(inner, dict):
            result[key] = merged(inner, value)
        else:
            result[key] = value
    return result


def values_of(*files: str) -> dict[str, Any]:
    """Values files of helm/values, or of helm/ci, one over the other."""
    result: dict[str, Any] = {}
    for file in files:
        folder = "ci" if file.endswith("-values") else "values"
        result = merged(result, read_values(CHART / folder / f"{file}.yaml"))
    return result
