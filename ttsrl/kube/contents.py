"""What a rendered release consists of besides objects: its images and its run. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, reason_of
from ttsrl.kube.manifests import fill
from ttsrl.kube.names import Names
from ttsrl.kube.objects import Object, part
from ttsrl.kube.release import parse_run

CONTAINERS = ("containers", "initContainers")


def objects_of(file: Path) -> list[Object]:
    """The objects in what `helm template` or `helm get manifest` printed. Raises BadInput."""
    try:
        found = [one for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(
            f"{file} cannot be read as YAML ({reason_of(error)}); give what `helm template` prints"
        ) from None
    if not found or not all(isinstance(one, dict) and "kind" in one for one in found):
        raise BadInput(f"{file} has no objects of Kubernetes; give what `helm template` prints")
    return cast("list[Object]", found)


def images_of(objects: list[Object]) -> list[str]:
    """Every image that the release's own pods and the pods of its jobs take, once."""
    return sorted({image for one in objects for image in _images(one)})


def run_of(objects: list[Object]) -> RunConfig:
    """The run of the release. Raises BadInput."""
    for one in objects:
        if one["kind"] == "ConfigMap" and (text := part(one, "data").get("run.json")):
            return parse_run(text, f"ConfigMap {one['metadata']['name']}")
    raise BadInput(
        "none of the objects is a ConfigMap with a run.json: this is not a release of ttsrl; give "
        "what `helm template` prints of its chart"
    )


def _images(one: Object) -> Iterator[str]:
    if one["kind"] != "ConfigMap":
        yield from _in_pods(one)
        return
    for name, text in part(one, "data").items():
        if name.endswith(".yaml"):  # a job that `ttsrl submit` creates
            yield from _in_pods(yaml.safe_load(fill(text, Names("x", "x", "x"), "x")))


def _in_pods(node: Any) -> Iterator[str]:
    """Images of every container below a node."""
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            yield from _in_pods(item)
    elif isinstance(node, dict):
        for key, value in cast("Object", node).items():
            if key in CONTAINERS and isinstance(value, list):
                listed = cast("list[Object]", value)
                yield from (one["image"] for one in listed if "image" in one)
            else:
                yield from _in_pods(value)
