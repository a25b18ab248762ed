"""A Helm release as it is installed: its run, its environment, the jobs that its chart made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from pydantic import ValidationError

from ttsrl.config.explain import explain
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.manifests import Kind, Template, fill
from ttsrl.kube.names import Names
from ttsrl.kube.objects import Object, part

DESCRIPTION = "release.json"
"""In the ConfigMap of the jobs: what else of the release the commands want to know."""


@dataclass(frozen=True)
class Release:
    """A release in the cluster's namespace."""

    names: Names
    """Those of the run of its values."""
    run: RunConfig
    files: Mapping[str, str]
    """run.json and what lies beside it, as pods mount it."""
    environment: Mapping[str, str]
    """What its pods find in their environment: S3's endpoint, caches."""
    kind: Kind
    """Which operator trains, unless the user wants another."""
    jobs: Object
    """The ConfigMap with the jobs; it owns those that are created, so that they go with it."""

    def job(self, template: Template, names: Names, config_map: str) -> str:
        """The text of a job for one of its runs."""
        return fill(part(self.jobs, "data")[f"{template}.yaml"], names, config_map)

    @property
    def owner(self) -> dict[str, str]:
        """What a job of it names as its owner."""
        return owner_of("v1", "ConfigMap", self.jobs)

    def address(self, run: str | None = None) -> str:
        """Address of its own published run, or of another one's."""
        return f"{self.run.storage.rstrip('/')}/runs/{run or self.run.name}"

    def storage_environment(self, here: Mapping[str, str]) -> dict[str, str]:
        """Where this release's S3 is, for a machine outside that is not told otherwise."""
        if here.get("AWS_ENDPOINT_URL") or here.get("AWS_ENDPOINT_URL_S3"):
            return {}
        wanted = ("AWS_ENDPOINT_URL", "AWS_REGION")
        return {name: self.environment[name] for name in wanted if name in self.environment}


def owner_of(version: str, kind: str, owner: Object) -> dict[str, str]:
    """A reference to an object by which the cluster deletes what it owns."""
    metadata = owner["metadata"]
    return {"apiVersion": version, "kind": kind, "name": metadata["name"], "uid": metadata["uid"]}


def owner_in(cluster: Cluster, release: str) -> dict[str, str]:
    """What an object names as its owner to go with a release. Raises BadInput if that is not
    there."""
    return owner_of("v1", "ConfigMap", _jobs(cluster, release))


def read_names(cluster: Cluster, release: str, run: str | None = None) -> Names:
    """Names of a release's run, or of its own. Raises BadInput if the release is not there."""
    return _names(release, _description(_jobs(cluster, release))).of_run(run)


def read_release(cluster: Cluster, name: str) -> Release:
    """A release by its name. Raises BadInput where there is none, or its run is none."""
    jobs = _jobs(cluster, name)
    about = _description(jobs)
    config_map = about["run"]["configMap"]
    files = part(cluster.get(cluster.core(f"configmaps/{config_map}")) or {}, "data")
    environment = cluster.get(cluster.core(f"configmaps/{about['environment']}")) or {}
    return Release(
        _names(name, about),
        parse_run(files.get("run.json", ""), f"ConfigMap {config_map}"),
        files,
        part(environment, "data"),
        about["kind"],
        jobs,
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


def _jobs(cluster: Cluster, release: str) -> Object:
    """Found by its labels: its name is what `fullnameOverride` makes it."""
    selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component=jobs"
    found = cluster.items(cluster.core("configmaps"), {"labelSelector": selector})
    if found is None:
        raise BadInput(
            f"this user may not list ConfigMaps in the namespace {cluster.namespace}; the chart's "
            "value `submitters` gives a user the rights that this command needs"
        )
    if not found:
        raise BadInput(
            f"no release {release!r} in the namespace {cluster.namespace}; helm install {release} "
            "./helm, or give --release and --namespace. If it was installed by an older chart, "
            "helm upgrade it"
        )
    return found[0]


def _description(jobs: Object) -> dict[str, Any]:
    return json.loads(part(jobs, "data")[DESCRIPTION])


def _names(release: str, about: Mapping[str, Any]) -> Names:
    return Names(release, about["fullname"], about["run"]["name"])
