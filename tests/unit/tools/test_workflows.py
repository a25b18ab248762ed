"""GitHub's workflows: what they call exists, and they may do no more than they need."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tools.version import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SETUP = ROOT / ".github/actions/setup/action.yml"
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
WRITES = {
    ("docs", "pages"),
    ("docs", "id-token"),
    ("release", "contents"),
    ("release", "id-token"),
    ("release", "packages"),
}
"""(workflow, right) beyond reading."""


def steps() -> Iterator[dict[str, Any]]:
    for path in WORKFLOWS:
        for job in yaml.safe_load(path.read_text())["jobs"].values():
            yield from job["steps"]
    yield from yaml.safe_load(SETUP.read_text())["runs"]["steps"]


def test_make_targets_of_workflows_exist() -> None:
    runs = "\n".join(step.get("run", "") for step in steps())
    named = set(re.findall(r"make (?:--\S+ )?([a-z][\w-]*)", runs))
    assert {"env", "lint", "test-unit", "test-cluster", "docs", "dist", "images"} <= named
    chosen = set(re.findall(r"'([a-z-]+)' \|\| '([a-z-]+)'", runs))
    assert chosen == {("coverage", "test-integration")}
    assert named | {target for pair in chosen for target in pair} <= TARGETS


def test_actions_are_pinned_to_a_major_version() -> None:
    used = {step["uses"] for step in steps() if "uses" in step}
    assert used
    for action in used - {"./.github/actions/setup"}:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+|release/v1)", action), action


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_reads_unless_a_job_needs_more(path: Any) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 240
        for right, level in job.get("permissions", {}).items():
            assert level == "read" or (path.stem, right) in WRITES
