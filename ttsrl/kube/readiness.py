"""What must hold before a GPU is spent: `ttsrl submit` refuses where it does not, and
`ttsrl doctor --cluster` lists it. The judgements are pure; `examine` asks the cluster.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput
from ttsrl.kube import bucket, folder
from ttsrl.kube.claim import pending_claim
from ttsrl.kube.cluster import Cluster, HiddenError
from ttsrl.kube.images import images_for
from ttsrl.kube.manifests import Kind, Manifest, gpus_of, mounted, pods_of
from ttsrl.kube.objects import Object, entries, labels_of, part
from ttsrl.kube.pending import fits_labels
from ttsrl.kube.pending import gpus_of as gpus_of_node
from ttsrl.kube.quota import lacking, unnamed
from ttsrl.kube.release import Release
from ttsrl.kube.run_checks import looks_at
from ttsrl.runtime.doctor import Check

APIS: Mapping[Kind, tuple[str, str, str]] = {
    "rayjob": ("ray.io/v1", "rayjobs", "KubeRay 1.6"),
    "pytorchjob": ("kubeflow.org/v1", "pytorchjobs", "Kubeflow's training operator 1.9"),
    "trainjob": ("trainer.kubeflow.org/v1alpha1", "trainjobs", "Kubeflow Trainer 2.2"),
}
ARCHITECTURE = "amd64"
"""What the images are built for."""
HIDDEN = "this user may not see it"
SCALED = "where an autoscaler adds such nodes when a pod waits for one"


def examine(
    cluster: Cluster, release: Release, kind: Kind, job: Manifest, run: RunConfig
) -> list[Check]:
    """Every check of a release, of a run, and of the job that is to be made for it, or of the
    runtime that has the pods of that job."""
    checks = [_look(f"{kind} API", lambda: _api(cluster, kind))]
    if checks[0].state == "ok":
        checks.append(_look("job, as the cluster takes it", lambda: _dry_run(cluster, kind, job)))
    volumes = mounted(job)
    for volume, key in (("token", "token"), ("s3", "credentials")):
        secret = part(volumes[volume], "secret")
        name, optional = secret["secretName"], bool(secret.get("optional"))
        checks.append(
            _look(f"Secret {name}", lambda n=name, k=key, o=optional: _secret(cluster, n, k, o))
        )
    s3 = volumes["s3"]["secret"]["secretName"]
    if release.run.storage.startswith("/"):
        checks.append(folder.look_at(job, release.run.storage))
    else:
        checks.append(_look("storage", lambda: _storage(cluster, release, s3)))
    if claim := part(volumes["models"], "persistentVolumeClaim").get("claimName"):
        checks.append(_look(f"volume {claim}", lambda: _volume(cluster, claim)))
    checks.append(_look("reward service", lambda: _reward(cluster, release)))
    nodes = cluster.items("/api/v1/nodes")
    checks += [Check("nodes", "note", HIDDEN)] if nodes is None else nodes_for(job, nodes)
    quotas = cluster.items(cluster.core("resourcequotas"))
    if quotas is None:
        checks.append(Check("quota", "note", HIDDEN))
    else:
        ranges = cluster.items(cluster.core("limitranges")) if quotas else []
        checks.append(quota_for(job, quotas, ranges))
    checks += images_for(job, nodes)
    checks += [_look(name, look) for name, look in looks_at(cluster, run, job).items()]
    return checks


def secret_has(secret: Object | None, name: str, key: str, *, optional: bool) -> Check:
    """Whether a Secret is there with its key; credentials may come from workload identity."""
    what = f"Secret {name}"
    if secret is None:
        if optional:
            return Check(
                what,
                "note",
                "absent",
                f"right with workload identity; else: kubectl create secret generic {name} "
                f"--from-file={key}=FILE",
            )
        return Check(what, "bad", "absent", "helm upgrade makes it; or name one in the values")
    keys = sorted(part(secret, "data"))
    if key not in keys:
        return Check(
            what, "bad", f"has {', '.join(keys) or 'no keys'}, but not {key!r}", f"add {key!r}"
        )
    return Check(what, "ok", f"has {key!r}")


def nodes_for(job: Manifest, nodes: Sequence[Object]) -> list[Check]:
    """Whether every pod has nodes with its labels, its GPUs and the images' architecture."""
    return [_nodes_for(pod, count, nodes) for pod, count in pods_of(job) if gpus_of(pod)] or [
        Check("nodes", "ok", f"{len(nodes)}, and no GPU is asked for")
    ]


def _nodes_for(pod: Manifest, count: int, nodes: Sequence[Object]) -> Check:
    gpus = gpus_of(pod)
    what = f"nodes for {count} x {gpus} GPU"
    labelled = [node for node in nodes if fits_labels(pod, node)]
    if not labelled:
        required = part(
            pod,
            "spec",
            "affinity",
            "nodeAffinity",
            "requiredDuringSchedulingIgnoredDuringExecution",
        )
        wanted = [f"{k} = {v}" for k, v in part(pod, "spec", "nodeSelector").items()]
        wanted += [
            f"{one['key']} = {' or '.join(one['values'])}"
            for term in entries(required, "nodeSelectorTerms")
            for one in entries(term, "matchExpressions")
        ]
        return Check(
            what,
            "note",
            f"no node has {' and '.join(wanted)} yet; nodes are {_kinds(nodes)}",
            f"right {SCALED}; else label the nodes, or give the release other values",
        )
    fitting = [node for node in labelled if gpus_of_node(node) >= gpus]
    if not fitting:
        most = max(gpus_of_node(node) for node in labelled)
        return Check(
            what,
            "note",
            f"the largest node has {most} GPUs",
            f"right {SCALED}; else lower train.gpus_per_node and use more nodes",
        )
    right = [
        n for n in fitting if part(n, "status", "nodeInfo").get("architecture") == ARCHITECTURE
    ]
    if not right:
        other = {str(part(n, "status", "nodeInfo").get("architecture")) for n in fitting}
        return Check(
            what,
            "note",
            f"they are {', '.join(sorted(other))}, and the images are {ARCHITECTURE}",
            f"right {SCALED}; else add nodes of that architecture",
        )
    return Check(what, "ok", f"{len(right)} could take one: {_kinds(right)}")


def quota_for(
    job: Manifest, quotas: Sequence[Object], limit_ranges: Sequence[Object] | None = ()
) -> Check:
    """Whether the namespace's quotas have room for all pods of the job together, and find named
    what they count. `limit_ranges` is None where this user may not see them."""
    short = [line for quota in quotas for line in lacking(job, quota)]
    if silent := [line for quota in quotas for line in unnamed(job, quota, limit_ranges or ())]:
        return Check(
            "quota",
            "note" if limit_ranges is None else "bad",
            "; ".join([*short, *silent]),
            "name it in the values' resources, or ask for a LimitRange with a default",
        )
    if short:
        return Check(
            "quota", "bad", "; ".join(short), "ask the cluster's owner, or use fewer nodes"
        )
    return Check("quota", "ok", f"{len(quotas)} set" if quotas else "none set")


def refuse(checks: Sequence[Check]) -> None:
    """Raises BadInput with everything that is bad."""
    bad = [f"{one.name}: {one.found}; {one.advice}" for one in checks if one.state == "bad"]
    if bad:
        raise BadInput("\n".join(bad))


def _look(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except HiddenError:
        return Check(name, "note", HIDDEN)
    except BadInput as error:
        return Check(name, "bad", str(error), "correct it and look again")


def _api(cluster: Cluster, kind: Kind) -> Check:
    version, plural, operator = APIS[kind]
    group = cluster.get(f"/apis/{version}")
    served = [resource["name"] for resource in entries(group or {}, "resources")]
    name = f"{kind} API"
    if plural not in served:
        others = " or ".join(f"--kind {other}" for other in APIS if other != kind)
        return Check(
            name,
            "bad",
            f"the cluster has no {plural} of {version}",
            f"install {operator} or newer, or use {others}",
        )
    return Check(name, "ok", f"{version} {plural}")


def _dry_run(cluster: Cluster, kind: Kind, job: Manifest) -> Check:
    """The API's and the webhooks' own judgement; a field that is unknown means an old operator."""
    name = "job, as the cluster takes it"
    version, _, operator = APIS[kind]
    plural = f"{job['kind'].lower()}s"
    probe: dict[str, Any] = {**job, "metadata": {**job["metadata"]}}
    del probe["metadata"]["name"]
    probe["metadata"]["generateName"] = "dry-run-"
    try:
        cluster.create(cluster.group(version, plural), probe, dry_run=True)
    except HiddenError:
        raise
    except BadInput as error:
        old = "unknown field" in str(error)
        advice = f"the operator is too old: install {operator} or newer" if old else "correct it"
        return Check(name, "bad", str(error), advice)
    return Check(name, "ok", "accepted in a dry run")


def _secret(cluster: Cluster, name: str, key: str, optional: bool) -> Check:
    found = cluster.get(cluster.core(f"secrets/{name}"))
    return secret_has(found, name, key, optional=optional)


def _storage(cluster: Cluster, release: Release, secret_name: str) -> Check:
    tested = cluster.get(cluster.core(f"pods/{release.names.fullname}-test-storage"))
    if part(tested or {}, "status").get("phase") == "Succeeded":
        when = part(tested or {}, "metadata").get("creationTimestamp", "")
        return Check(bucket.WHAT, "ok", f"`helm test` of {when} wrote there and read it")
    secret = cluster.get(cluster.core(f"secrets/{secret_name}"))
    encoded = part(secret or {}, "data").get("credentials")
    keys = None if encoded is None else base64.b64decode(encoded).decode(errors="replace")
    return bucket.look_at(release, keys)


def _volume(cluster: Cluster, name: str) -> Check:
    claim = cluster.get(cluster.core(f"persistentvolumeclaims/{name}"))
    if claim is None:
        return Check(f"volume {name}", "bad", "absent", "helm upgrade makes it")
    phase = part(claim, "status").get("phase")
    if phase == "Lost":
        return Check(f"volume {name}", "bad", "its disk is lost", "delete the claim, helm upgrade")
    modes = ", ".join(part(claim, "spec").get("accessModes", []))
    if phase == "Pending":
        return pending_claim(cluster, name, claim, modes)
    return Check(f"volume {name}", "ok", f"{phase}, {modes}")


def _reward(cluster: Cluster, release: Release) -> Check:
    name = "reward service"
    deployment = cluster.get(cluster.group("apps/v1", f"deployments/{release.names.reward}"))
    if deployment is None:
        return Check(name, "note", f"not of this release; the run asks {release.run.reward.url}")
    ready = part(deployment, "status").get("readyReplicas", 0)
    wanted = part(deployment, "spec").get("replicas", 0)
    if not ready:
        return Check(
            name, "note", f"0 of {wanted} replicas are ready", "training waits for it some minutes"
        )
    return Check(name, "ok", f"{ready} of {wanted} replicas are ready")


def _kinds(nodes: Sequence[Object]) -> str:
    """`NVIDIA-RTX-A6000 (3), no GPU (1)`."""
    counts: dict[str, int] = {}
    for node in nodes:
        product = labels_of(node).get("nvidia.com/gpu.product")
        kind = product or ("a GPU" if gpus_of_node(node) else "no GPU")
        counts[kind] = counts.get(kind, 0) + 1
    return ", ".join(f"{kind} ({count})" for kind, count in sorted(counts.items())) or "none"
