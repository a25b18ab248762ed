"""A Helm release of the tiny stack, from install to nothing left."""

from __future__ import annotations

import json

from harness import CHART, TINY, Bucket, Namespace

# Made by the cluster itself in every namespace, or a trace of what happened.
NOT_OURS = ("event", "configmap/kube-root-ca.crt", "serviceaccount/default", "secret/ttsrl-s3")


def everything(namespace: Namespace) -> set[str]:
    """Names of all objects of every kind in a namespace, ours and the cluster's own apart."""
    kinds = namespace.kubectl("api-resources", "--namespaced", "--verbs=list", "-o", "name")
    names = namespace.kubectl("get", ",".join(kinds.split()), "-o", "name", "--ignore-not-found")
    return {name for name in names.split() if not name.startswith(NOT_OURS)}


def labelled_in_the_cluster(namespace: Namespace) -> set[str]:
    """Objects outside of namespaces that a release of this namespace made."""
    kinds = namespace.kubectl("api-resources", "--namespaced=false", "--verbs=list", "-o", "name")
    kinds = [kind for kind in kinds.split() if not kind.startswith("componentstatuses")]
    text = namespace.kubectl("get", ",".join(kinds), "-o", "json", "--ignore-not-found")
    return {
        f"{o['kind']}/{o['metadata']['name']}"
        for o in json.loads(text)["items"]
        if o["metadata"].get("annotations", {}).get("meta.helm.sh/release-namespace")
        == namespace.name
    }


def test_a_release_installs_passes_its_tests_upgrades_rolls_back_and_leaves_nothing(
    namespace: Namespace, bucket: Bucket
):
    before = everything(namespace)
    namespace.install(*bucket.values)
    tested = namespace.helm("test", "ttsrl", "--timeout", "3m")
    assert tested.count("Phase:          Succeeded") == 3

    run = json.loads(namespace.get("configmap", "ttsrl-run")["data"]["run.json"])
    assert run["seed"] == 1
    upgraded = ["-f", TINY, *bucket.values, "--set", "run.seed=2", "--wait", "--timeout", "5m"]
    token = namespace.get("secret", "ttsrl-token")["data"]
    namespace.helm("upgrade", "ttsrl", CHART, *upgraded)
    run = json.loads(namespace.get("configmap", "ttsrl-run")["data"]["run.json"])
    assert run["seed"] == 2
    assert namespace.get("secret", "ttsrl-token")["data"] == token

    namespace.helm("rollback", "ttsrl", "1", "--wait", "--timeout", "5m")
    run = json.loads(namespace.get("configmap", "ttsrl-run")["data"]["run.json"])
    assert run["seed"] == 1

    namespace.helm("uninstall", "ttsrl", "--wait")
    namespace.until("nothing left", lambda: everything(namespace) <= before, 150)
    assert labelled_in_the_cluster(namespace) == set()
