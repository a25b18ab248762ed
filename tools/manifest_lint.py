"""kube-score and checkov on all that the chart makes: its objects, and the pods of every job.

    python -m tools.manifest_lint kube-score PROGRAM...
    python -m tools.manifest_lint checkov PROGRAM...

They look at the chart's defaults, and at helm/ci/everything-on-values.yaml. Neither knows RayJob
and PyTorchJob, so that their pods are shown to them as pods. What is accepted is named below.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import helm_python as helm
import yaml

from tools.version import ROOT
from ttsrl.kube.manifests import Manifest, Template, fill, parse, pods_of
from ttsrl.kube.names import Names

CHART = ROOT / "helm"
RENDERINGS = {"defaults": "", "everything-on": "ci/everything-on-values.yaml"}
"""What is looked at, which is its namespace too -> its values file, if it has one."""

KUBE_SCORE = {
    "container-image-pull-policy": "tags are versions: a node that has one needs no registry",
    "container-ephemeral-storage-request-and-limit": "scratch has a limit of its own: its volume's",
    "pod-networkpolicy": "egress is limited where networkPolicy.egress.enabled says so",
    "deployment-replicas": "one GPU is enough for one run; reward.replicas",
}
CHECKOV = {
    "CKV_K8S_8": "a pod of `helm test` or of a job ends by itself: it needs no liveness probe",
    "CKV_K8S_9": "the same of readiness",
    "CKV_K8S_11": "a limit of CPU slows what has cores to spare; requests say what it needs",
    "CKV_K8S_15": "tags are versions, and a node that has an image needs no registry",
    "CKV_K8S_35": "trackers read their keys from variables alone",
    "CKV_K8S_43": "the digest is known when an image is pushed: reward.image.digest and so on",
}
"""Check -> why it is not asked for."""


def rendered(namespace: str, values_file: str) -> Iterator[Manifest]:
    """Objects of the chart, and of every job that it renders, each pod template as a pod."""
    values: dict[str, Any] = {}
    if values_file:
        values = helm.values_from_yaml((CHART / values_file).read_text())
    values = {**values, "run": {"storage": "s3://bucket", **values.get("run", {})}}
    with helm.Chart.load(CHART) as chart:
        given = chart.render(values, name="ttsrl", namespace=namespace)
    objects = [
        document
        for template, text in given.items()
        if template.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    for manifest in objects:  # as `helm install --namespace` does
        manifest["metadata"].setdefault("namespace", namespace)
    yield from objects
    yield from _pods(yaml.safe_load(given["ttsrl/templates/jobs.yaml"])["data"], namespace)


def _pods(jobs: Mapping[str, str], namespace: str) -> Iterator[Manifest]:
    names = Names("ttsrl", "ttsrl", "ttsrl")
    for kind in get_args(Template):
        for number, (pod, _) in enumerate(pods_of(parse(fill(jobs[f"{kind}.yaml"], names, "run")))):
            metadata = {**pod["metadata"], "name": f"{kind}-{number}", "namespace": namespace}
            yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}


def command(linter: str, program: Sequence[str], files: Sequence[Path]) -> list[str]:
    """The linter on those files, without what is accepted."""
    if linter == "kube-score":
        ignored = [f"--ignore-test={test}" for test in KUBE_SCORE]
        options = ["--output-format=ci", "--exit-one-on-warning", "--ignore-container-cpu-limit"]
        return [*program, "score", *options, *ignored, *map(str, files)]
    options = ["--framework=kubernetes", "--quiet", "--compact", "--skip-download"]
    return [
        *program,
        *options,
        f"--skip-check={','.join(CHECKOV)}",
        *(f"--file={file}" for file in files),
    ]


def lint(linter: str, program: Sequence[str], objects: Mapping[str, Sequence[Manifest]]) -> str:
    """What the linter finds in those objects, a file each; empty where that is nothing."""
    with TemporaryDirectory() as folder:
        files = [Path(folder) / f"{name}.yaml" for name in objects]
        for file, documents in zip(files, objects.values(), strict=True):
            file.write_text(yaml.safe_dump_all(documents))
        done = subprocess.run(command(linter, program, files), capture_output=True, text=True)
    if done.returncode == 0:
        return ""
    said = (done.stdout + done.stderr).splitlines()
    return "\n".join(line for line in said if not line.startswith(("[OK]", "[SKIPPED]")))


def main(linter: str, *program: str) -> None:
    """Print what is found, which is exit code 1."""
    if linter not in ("kube-score", "checkov"):
        sys.exit(f"{linter} is neither kube-score nor checkov")
    objects = {name: list(rendered(name, file)) for name, file in RENDERINGS.items()}
    if found := lint(linter, program, objects):
        sys.exit(f"{linter}:\n{found}")


if __name__ == "__main__":
    main(*sys.argv[1:])
