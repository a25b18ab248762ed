"""Every manifest of jobs/, as the real API server reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import ClusterUnderTest, Namespace
from support.releases import VALUES, release
from testbed.paths import REPOSITORY

JOBS = REPOSITORY / "jobs"
FILES = sorted(path.relative_to(REPOSITORY) for path in JOBS.rglob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_api_server_takes_each_manifest_as_it_stands(
    cluster: ClusterUnderTest, shared_namespace: Namespace, path: Path
) -> None:
    for document in yaml.safe_load_all((REPOSITORY / path).read_text()):
        cluster.require_api(kind_of(document))
        if document["kind"] == "TrainingRuntime":
            shared_namespace.apply([document])  # Trainer refuses a job whose runtime is not there
    said = shared_namespace.kubectl("apply", "--server-side", "--dry-run=server", "-f", path)
    assert "serverside-applied" in said


@pytest.mark.parametrize("path", VALUES, ids=lambda path: path.stem)
def test_the_api_server_takes_the_jobs_of_each_values_file(
    cluster: ClusterUnderTest, shared_namespace: Namespace, path: Path
) -> None:
    values = yaml.safe_load(path.read_text())
    there = release(values)
    templates = ("rayjob", "pytorchjob", "followjob", "mergejob", "shardsjob", "reducejob")
    texts = [there.job(template, there.names, "run") for template in templates]
    for text in texts:
        cluster.require_api(kind_of(yaml.safe_load(text)))
    said = shared_namespace.kubectl(
        *("apply", "--server-side", "--dry-run=server", "-f", "-"), input="\n---\n".join(texts)
    )
    assert said.count("serverside-applied") == len(templates)


def test_a_misspelt_field_is_refused(shared_namespace: Namespace) -> None:
    text = (JOBS / "train/rayjob.yaml").read_text()
    assert "submissionMode:" in text
    misspelt = text.replace("submissionMode:", "submisionMode:")
    said = shared_namespace.kubectl(
        "apply", "--server-side", "--dry-run=server", "-f", "-", input=misspelt, check=False
    )
    assert "submisionMode" in said and "not declared in schema" in said


def kind_of(document: dict[str, Any]) -> str:
    """As `kubectl api-resources -o name` spells it: rayjobs.ray.io."""
    group, _, _ = document["apiVersion"].rpartition("/")
    plural = f"{document['kind'].lower()}s"
    return f"{plural}.{group}" if group else plural
