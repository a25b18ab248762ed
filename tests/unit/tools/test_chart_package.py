"""The chart as it goes to a registry: its images' registry, and what Artifact Hub shows of it."""

from __future__ import annotations

import tarfile
from pathlib import Path

import helm_python as helm
import yaml

from tools.chart import KINDS, changes, package
from tools.version import current_version


def test_the_package_installs_the_images_of_its_registry(tmp_path: Path) -> None:
    packed = package(tmp_path, "ghcr.io/me/")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    about = yaml.safe_load((tmp_path / "ttsrl/Chart.yaml").read_text())
    version = current_version()
    shown = yaml.safe_load(about["annotations"]["artifacthub.io/images"])
    assert [one["image"] for one in shown] == [
        f"ghcr.io/me/ttsrl-{name}:{version}" for name in ("jobs", "reward", "train")
    ]
    assert about["annotations"]["artifacthub.io/license"] == "Apache-2.0"
    with helm.Chart.load(tmp_path / "ttsrl") as chart:
        made = chart.render({"run": {"storage": "s3://bucket"}}, name="ttsrl", namespace="speech")
    deployment = yaml.safe_load(made["ttsrl/templates/reward-deployment.yaml"])
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["image"] == f"ghcr.io/me/ttsrl-reward:{version}"
    for image in shown:
        assert image["image"] in made["ttsrl/templates/jobs.yaml"] or "reward" in image["name"]


def test_without_a_registry_the_package_has_the_chart_s_own_values(tmp_path: Path) -> None:
    with tarfile.open(package(tmp_path)) as archive:
        values = archive.extractfile("ttsrl/values.yaml")
        assert values and b'\n  registry: ""\n' in values.read()


def test_changes_are_those_of_the_changelog_in_artifact_hub_s_words() -> None:
    found = changes(current_version())
    assert found
    for change in found:
        assert change["kind"] in KINDS
        assert change["description"] and "\n" not in change["description"]
