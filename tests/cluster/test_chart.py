"""The chart of every values file, as this cluster's own API describes its kinds and takes them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness import CHART, ClusterUnderTest, Manifest, Namespace
from testbed import tools
from testbed.paths import REPOSITORY

VALUES = sorted(
    path.relative_to(REPOSITORY)
    for path in (*CHART.glob("ci/*.yaml"), *CHART.glob("values/*.yaml"))
)
SCHEMAS = "{{.ResourceKind}}{{.KindSuffix}}.json"


@pytest.fixture(scope="module")
def schemas(cluster: ClusterUnderTest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON schema of each kind that the cluster knows, its operators' included."""
    folder = tmp_path_factory.mktemp("schemas")
    definitions = json.loads(cluster.kubectl("get", "--raw", "/openapi/v2"))["definitions"]
    # Both are numbers or strings, and the document has no word for that.
    either = {"type": ["string", "integer", "number"]}
    definitions["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = either
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = either
    for definition in definitions.values():
        close(definition)
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            group = f"-{kind['group'].split('.')[0]}" if kind["group"] else ""
            file = f"{kind['kind'].lower()}{group}-{kind['version']}.json"
            needed = with_parts(definitions, name)
            schema = {"$ref": f"#/definitions/{name}", "definitions": needed}
            (folder / file).write_text(json.dumps(schema))
    return folder


def with_parts(definitions: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A definition and all that it refers to: kubeconform reads the whole file for each kind."""
    found, left = dict[str, Any](), [name]
    while left:
        if (one := left.pop()) not in found:
            found[one] = definitions[one]
            left += re.findall('"#/definitions/([^"]+)"', json.dumps(found[one]))
    return found


def close(schema: Any) -> None:
    """No property beside those that are named."""
    if isinstance(schema, dict):
        if "properties" in schema and "x-kubernetes-preserve-unknown-fields" not in schema:
            schema.setdefault("additionalProperties", False)
        for part in schema.values():
            close(part)
    elif isinstance(schema, list):
        for part in schema:
            close(part)


def rendered(namespace: Namespace, values: Path) -> str:
    """By helm, for this cluster and what it can do."""
    whole = namespace.helm(
        *("install", "ttsrl", CHART, "-f", values, "--dry-run=server", "--output", "json"),
        *("--set", "metrics.dashboards.namespace=", "--set", "run.storage=s3://speech"),
    )
    return json.loads(whole)["manifest"]


def conform(schemas: Path, manifest: str) -> str:
    done = subprocess.run(
        [
            *(tools.binary("kubeconform"), "-strict", "-summary", "-output", "json"),
            *("-schema-location", f"{schemas}/{SCHEMAS}"),
        ],
        input=manifest,
        capture_output=True,
        text=True,
    )
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)
    problems = [one for one in found["resources"] if one["status"] != "statusValid"]
    if not problems:
        assert found["summary"]["valid"] > 0
    return json.dumps(problems) if problems else ""


@pytest.mark.parametrize("values", VALUES, ids=str)
def test_the_cluster_knows_every_field_and_takes_every_object(
    shared_namespace: Namespace, schemas: Path, values: Path
) -> None:
    manifest = rendered(shared_namespace, values)
    assert conform(schemas, manifest) == ""
    objects = [o for o in yaml.safe_load_all(manifest) if o]
    text = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": objects})
    shared_namespace.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", input=text)


def test_a_field_that_the_cluster_does_not_know_is_seen(schemas: Path) -> None:
    pod: Manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
    assert conform(schemas, yaml.safe_dump({**pod, "spec": {"containers": []}})) == ""
    assert "cntainers" in conform(schemas, yaml.safe_dump({**pod, "spec": {"cntainers": []}}))


def test_a_release_that_is_applied_once_more_does_not_drift(namespace: Namespace) -> None:
    """As by Argo CD: rendered, applied, rendered again, compared with what is there."""
    namespace.cluster.require_full()
    namespace.cluster.require_api("rayjobs.ray.io")
    made = (CHART / "ci/a6000-values.yaml", CHART / "values/a100-80.yaml")
    values = [option for file in made for option in ("-f", file)]
    known = ",".join(namespace.kubectl("api-versions").split())
    told = "token.existingSecret=ours,train.create=true,run.storage=s3://bucket"

    def desired() -> str:
        return namespace.helm(
            "template", "ttsrl", CHART, "--api-versions", known, *values, "--set", told
        )

    namespace.kubectl("apply", "-f", "-", input=desired())

    def answered() -> bool:
        [job] = namespace.list("rayjobs", "app.kubernetes.io/component=train")
        return "rayClusterName" in job.get("status", {})

    namespace.until("KubeRay's answer", answered, 180)
    assert namespace.kubectl("diff", "-f", "-", input=desired()) == ""
