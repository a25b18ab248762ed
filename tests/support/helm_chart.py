"""The chart of helm/, rendered by Helm's own engine: no helm binary, no cluster."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml
from helm_python import _native

from support.paths import ROOT

CHART = ROOT / "helm"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))

EVERY_API = (
    "keda.sh/v1alpha1",
    "monitoring.coreos.com/v1",
    "kueue.x-k8s.io/v1beta1",
    "kueue.x-k8s.io/v1beta2",
)
"""Of the operators that the chart has optional parts for."""
KUBE_VERSION = "v1.34.4"

Manifest = dict[str, Any]
Values = dict[str, Any]


def read_values(path: Path) -> Values:
    """A values file as Helm reads it."""
    return helm.values_from_yaml(path.read_text())


STORAGE = "s3://speech"


def with_storage(values: Values | None) -> Values:
    """Values with the one that the chart cannot know, unless they give it."""
    given = values or {}
    return {**given, "run": {"storage": STORAGE, **given.get("run", {})}}


def render_text(
    values: Values | None = None,
    *,
    release: str = "ttsrl",
    namespace: str = "speech",
    apis: Sequence[str] = (),
) -> dict[str, str]:
    """Template -> what it gives. Raises helm.HelmError, as `helm install` fails."""
    options = {
        "name": release,
        "namespace": namespace,
        "api_versions": list(apis),
        "kube_version": KUBE_VERSION,
    }
    with helm.Chart.load(CHART) as chart:
        # Chart.render itself knows no API versions, which the library below it does.
        rendered = _native.call_string(
            "helm_render", chart._raw(), json.dumps(with_storage(values)), json.dumps(options)
        )
    return json.loads(rendered)


def render(values: Values | None = None, **options: Any) -> list[Manifest]:
    """Every object that an install would make, those of `helm test` included."""
    return [
        document
        for template, text in render_text(values, **options).items()
        if template.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]


def find(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """The one object of that kind and name."""
    (found,) = [m for m in manifests if m["kind"] == kind and m["metadata"]["name"] == name]
    return found


def pod_specs(manifests: Sequence[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """(kind/name, pod specification) of everything that makes pods."""
    for manifest in manifests:
        spec = manifest.get("spec", {})
        name = f"{manifest['kind']}/{manifest['metadata']['name']}"
        if manifest["kind"] == "Pod":
            yield name, spec
        elif "template" in spec:
            yield name, spec["template"]["spec"]
