"""A run as it lies in the cluster: its configuration and texts in one ConfigMap that never changes.

The ConfigMap is named by its content, so that a retry reads what the first attempt read. Each job
that mounts it owns it: it is gone when the last of them is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ttsrl.config.diff import describe
from ttsrl.config.load import dump_run
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.facts import DataPath, InReward, Location, OfDeployment, Setting, dump_where, walk
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.names import MODELS_FOLDER, RUN_FILE, RUN_LABEL, Names
from ttsrl.kube.objects import Object, entries, part
from ttsrl.kube.release import Release, owner_of
from ttsrl.runtime.resources import resource

APP = "/app"
"""Where the images have what `resource` finds here."""
MOUNTED = str(Path(RUN_FILE).parent)
LARGEST_TEXTS_BYTES = 900_000
"""A ConfigMap holds 1 MiB."""


@dataclass(frozen=True)
class ClusterRun:
    """A run of a release."""

    names: Names
    run: RunConfig
    files: Mapping[str, str]
    """run.json, and the texts if they come with it."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that its pods mount."""
        return hashlib.sha256(json.dumps(dict(self.files), sort_keys=True).encode()).hexdigest()

    @property
    def config_map(self) -> str:
        """Name of its ConfigMap."""
        return f"{self.names.job}-run-{self.digest[:10]}"

    def manifest(self, owners: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
        """Its ConfigMap."""
        labels = {
            "app.kubernetes.io/name": "ttsrl",
            "app.kubernetes.io/instance": self.names.release,
            "app.kubernetes.io/component": "run",
            RUN_LABEL: self.names.run,
        }
        metadata: dict[str, Any] = {"name": self.config_map, "labels": labels}
        if owners:
            metadata["ownerReferences"] = [*owners]
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "immutable": True,
            "data": dict(self.files),
        }


def own_run(release: Release) -> ClusterRun:
    """The run of the release's values, as it is now."""
    return ClusterRun(release.names, release.run, release.files)


def another_run(release: Release, run: RunConfig) -> ClusterRun:
    """A run of a file that shares the release's service, token and models.

    What says how a run is deployed is the release's. Raises BadInput where its reward is another
    one, where the release's jobs are not sized for it, and where it names what no pod can see.
    """
    whole = run.model_dump(mode="json")
    for setting in walk(release.run):
        if setting.fact(OfDeployment) is not None:
            _put(whole, setting.key, setting.value)
    if not run.storage.startswith("s3://"):
        whole["storage"] = release.run.storage
    texts = _texts(release, run)
    for setting in walk(run):
        if setting.fact(Location) is not None and setting.fact(OfDeployment) is None:
            _put(whole, setting.key, _in_pods(setting, texts))
    there = RunConfig.model_validate(whole)
    _check_reward(release, there)
    _check_machines(release, there)
    return ClusterRun(release.names.of_run(run.name), there, {"run.json": dump_run(there), **texts})


def newest_run(cluster: Cluster, release: Release, name: str | None) -> ClusterRun:
    """A run that was submitted, as its pods have it; the release's own where none is named."""
    from ttsrl.kube.release import parse_run

    names = release.names.of_run(name)
    if names.own:
        return own_run(release)
    selector = f"{names.selector},app.kubernetes.io/component=run"
    found = cluster.items(cluster.core("configmaps"), {"labelSelector": selector}) or []
    if not found:
        raise BadInput(
            f"no run {name!r} of the release {names.release!r}; `ttsrl status` lists its runs. "
            "One that was stopped with --delete is known again after `ttsrl submit`"
        )
    last = max(found, key=lambda one: one["metadata"]["creationTimestamp"])
    files = part(last, "data")
    run = parse_run(files.get("run.json", ""), f"ConfigMap {last['metadata']['name']}")
    return ClusterRun(names, run, files)


def hold(cluster: Cluster, release: Release, run: ClusterRun) -> None:
    """Have its ConfigMap in the cluster, owned by the release until a job owns it."""
    path = cluster.core(f"configmaps/{run.config_map}")
    if cluster.get(path) is None:
        cluster.create(cluster.core("configmaps"), run.manifest([release.owner]))
    else:
        cluster.patch(path, {"metadata": {"ownerReferences": [release.owner]}})


def give_to(cluster: Cluster, release: Release, run: ClusterRun, jobs: Sequence[Object]) -> None:
    """Let jobs own its ConfigMap, beside those that do."""
    path = cluster.core(f"configmaps/{run.config_map}")
    there = entries(cluster.get(path) or {}, "metadata", "ownerReferences")
    new = [owner_of(job["apiVersion"], job["kind"], job) for job in jobs]
    owners = {one["uid"]: one for one in (*there, *new) if one["uid"] != release.owner["uid"]}
    cluster.patch(path, {"metadata": {"ownerReferences": [*owners.values()]}})


def check_same(release: Release, run: RunConfig) -> None:
    """Raises BadInput where a file with the release's own run's name is another run."""

    def of_the_run(setting: Setting) -> bool:
        return setting.fact(OfDeployment) is None

    theirs = dump_where(release.run, of_the_run, _known)
    ours = dump_where(run, of_the_run, _known)
    if differs := describe(theirs, ours, most=3):
        raise BadInput(
            f"the release {release.names.release!r} has a run {run.name!r} already, and it is "
            f"another one: {differs}. Give this one a --name of its own, or helm upgrade the "
            "release with this run in its values"
        )


def _known(setting: Setting) -> Any:
    """Its value, and a path of what comes with ttsrl as pods see it: the images have it too."""
    value, ours = setting.value, str(resource("examples"))
    if setting.fact(Location) and isinstance(value, str) and value.startswith(f"{ours}/"):
        return f"{APP}/examples{value.removeprefix(ours)}"
    return value


def _check_reward(release: Release, run: RunConfig) -> None:
    def decides(setting: Setting) -> bool:
        fact = setting.fact(InReward)
        return fact is not None and fact.by != "not"

    if differs := describe(dump_where(release.run, decides), dump_where(run, decides), most=5):
        raise BadInput(
            f"the release {release.names.release!r} gives another reward than the run {run.name!r} "
            f"wants: {differs}. Submit it to a release with that reward: helm install NAME ./helm "
            "with this run in its values, then --release NAME"
        )


def _check_machines(release: Release, run: RunConfig) -> None:
    theirs, ours = release.run.train, run.train
    if (theirs.nodes, theirs.gpus_per_node) != (ours.nodes, ours.gpus_per_node):
        raise BadInput(
            f"the jobs of the release {release.names.release!r} are for train.nodes = "
            f"{theirs.nodes} x train.gpus_per_node = {theirs.gpus_per_node}, and the run "
            f"{run.name!r} wants {ours.nodes} x {ours.gpus_per_node}; change the run with --set, "
            "or helm upgrade the release, for instance with -f helm/values/a100-80.yaml"
        )


def _texts(release: Release, run: RunConfig) -> dict[str, str]:
    """The run's texts by their file's name, if they lie on this machine or in the release."""
    path = Path(run.data.texts)
    if run.data.texts.startswith(f"{MOUNTED}/"):
        return {name: text for name, text in release.files.items() if name == path.name}
    if _known_to_pods(run.data.texts) or not path.exists():
        return {}
    if path.is_dir() or path.stat().st_size > LARGEST_TEXTS_BYTES:
        raise BadInput(
            f"data.texts = {path} does not fit into the run's ConfigMap ({LARGEST_TEXTS_BYTES} "
            f"bytes of one file); copy it into the model cache and name it {MODELS_FOLDER}/..."
        )
    try:
        return {f"texts{path.suffix}": path.read_text(encoding="utf-8")}
    except UnicodeDecodeError:
        raise BadInput(
            f"data.texts = {path} is not UTF-8 text, which alone fits into a ConfigMap; copy it "
            f"into the model cache and name it {MODELS_FOLDER}/..."
        ) from None


def _in_pods(setting: Setting, texts: Mapping[str, str]) -> Any:
    """A path as pods see it. Raises BadInput for one that only this machine has."""
    value = _known(setting)
    if not isinstance(value, str) or not value.startswith("/") or _known_to_pods(value):
        return value
    if setting.name == "data.texts" and texts:
        return f"{MOUNTED}/{next(iter(texts))}"
    if not Path(value).exists() or setting.name == "storage":
        return value
    what = "data" if setting.fact(DataPath) else "model"
    raise BadInput(
        f"{setting.name} = {value} lies on this machine, where no pod sees it; copy the {what} "
        f"into the model cache and name it {MODELS_FOLDER}/..., or give a Hugging Face id"
    )


def _known_to_pods(path: str) -> bool:
    ours = f"{resource('examples')}/"
    return path.startswith((f"{APP}/", f"{MODELS_FOLDER}/", f"{MOUNTED}/", ours))


def _put(whole: Any, key: Sequence[str | int], value: Any) -> None:
    for name in key[:-1]:
        whole = whole[name]
    cast("dict[str | int, Any]", whole)[key[-1]] = value
