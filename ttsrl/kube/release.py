"""A Helm release as it is installed: its run, its environment, the images it came with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from ttsrl.config.diff import describe
from ttsrl.config.explain import explain
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.facts import Location, OfDeployment, Setting, dump_where
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.names import Names
from ttsrl.kube.objects import entries, part
from ttsrl.runtime.resources import resource

APP = "/app"
"""Where the images have what `resource` finds here."""


@dataclass(frozen=True)
class Release:
    """A release in the cluster's namespace."""

    names: Names
    run: RunConfig
    environment: Mapping[str, str]
    """What its pods find in their environment: S3's endpoint, caches."""
    train_image: str | None
    """The training image beside the reward service's; None where that is named by a digest."""

    @property
    def jobs_image(self) -> str | None:
        """The image of evaluation beside the training image."""
        image = self.train_image
        return image and re.sub(r"ttsrl-train(?=:[^/]*$)", "ttsrl-jobs", image)

    @property
    def address(self) -> str:
        """Address of its published run."""
        return f"{self.run.storage}/runs/{self.run.name}"

    def storage_environment(self, here: Mapping[str, str]) -> dict[str, str]:
        """Where this release's S3 is, for a machine outside that is not told otherwise."""
        if here.get("AWS_ENDPOINT_URL") or here.get("AWS_ENDPOINT_URL_S3"):
            return {}
        wanted = ("AWS_ENDPOINT_URL", "AWS_REGION")
        return {name: self.environment[name] for name in wanted if name in self.environment}


def read_release(cluster: Cluster, name: str) -> Release:
    """A release by its name. Raises BadInput where there is none, or its run is none."""
    names = Names(name)
    config_map = cluster.get(cluster.core(f"configmaps/{names.run}"))
    if config_map is None:
        raise BadInput(
            f"no release {name!r} in the namespace {cluster.namespace}: there is no ConfigMap "
            f"{names.run}; helm install {name} ./helm, or give --release and --namespace"
        )
    environment = cluster.get(cluster.core(f"configmaps/{names.env}")) or {}
    return Release(
        names,
        parse_run(part(config_map, "data").get("run.json", ""), f"ConfigMap {names.run}"),
        part(environment, "data"),
        _train_image(cluster, names),
    )


def parse_run(text: str, where: str) -> RunConfig:
    """A run out of a ConfigMap. Raises BadInput that names it."""
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"{where} holds no run.json: {error.msg}; helm upgrade it") from None
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        lines = explain(error, RunConfig, cast("dict[str, Any]", raw))
        raise BadInput("\n".join(f"{where}: {line}" for line in lines)) from None


def check_same(release: Release, run: RunConfig) -> None:
    """Raises BadInput where a run's file is not the run of the release."""
    theirs = dump_where(release.run, _is_of_the_run)
    ours = dump_where(run, _is_of_the_run, _in_pods)
    if differs := describe(theirs, ours, most=3):
        raise BadInput(
            f"the release {release.names.release!r} is of another run: {differs}. One release is "
            "one run: `helm upgrade` it with this run in its values, install another release, or "
            "leave --config out"
        )


def _is_of_the_run(setting: Setting) -> bool:
    return setting.fact(OfDeployment) is None


def _in_pods(setting: Setting) -> Any:
    """The value, and a path of what comes with ttsrl as pods see it: the images have it too."""
    value, root = setting.value, str(resource("."))
    if setting.fact(Location) and isinstance(value, str) and value.startswith(f"{root}/"):
        return APP + value.removeprefix(root)
    return value


def _train_image(cluster: Cluster, names: Names) -> str | None:
    deployment = cluster.get(cluster.group("apps/v1", f"deployments/{names.reward}")) or {}
    for container in entries(deployment, "spec", "template", "spec", "containers"):
        found = re.fullmatch(r"((?:.*/)?)ttsrl-reward(:[^/@]+)", container.get("image", ""))
        if found:
            return f"{found[1]}ttsrl-train{found[2]}"
    return None
