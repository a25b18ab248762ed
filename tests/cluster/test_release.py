"""A Helm release of the tiny stack, from install to nothing left."""

from __future__ import annotations

import json

from harness import CHART, REWARD_NOWHERE, TINY, Bucket, Namespace
from load import load

REWARD = "app.kubernetes.io/component=reward"
STAYS = {
    "persistentvolumeclaim/ttsrl-models",
    *(f"pod/ttsrl-test-{check}" for check in ("score", "storage", "metrics")),
}
"""What `helm uninstall` leaves: the models, and what the last `helm test` said."""
SECOND = ("--set", "run.seed=2", "--set", "run.reward.batch_size=8")
"""A second revision, whose replicas replace those of the first."""
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
) -> None:
    before = everything(namespace)
    values = [*bucket.values, "--set", "reward.preStopSeconds=10"]
    namespace.install(*values)
    tested = namespace.helm("test", "ttsrl", "--logs", "--timeout", "3m")
    assert tested.count("Phase:          Succeeded") == 3
    assert tested.count("POD LOGS:") == 3

    assert seed(namespace) == 1
    token = namespace.existing("secret", "ttsrl-token")["data"]
    with load(namespace, at_once=4) as work:
        wait = ("--wait", "--timeout", "5m")
        namespace.helm("upgrade", "ttsrl", CHART, "-f", TINY, *values, *SECOND, *wait)
        assert seed(namespace) == 2
        assert namespace.existing("secret", "ttsrl-token")["data"] == token
        namespace.helm("rollback", "ttsrl", "1", *wait)
        assert seed(namespace) == 1
        # until the last pod that either change replaced is gone
        namespace.until("one pod", lambda: len(namespace.list("pods", REWARD)) == 1, 180)
        work.stop()
    assert work.scored > 0
    assert (work.failed, work.wrong) == ({}, 0)
    assert set(work.asked_once) == {"200"}

    namespace.helm("uninstall", "ttsrl", "--wait")
    kept = before | STAYS
    namespace.until("nothing else left", lambda: everything(namespace) <= kept, 150)
    assert everything(namespace) >= STAYS
    assert labelled_in_the_cluster(namespace) == set()
    namespace.install_without_waiting(*REWARD_NOWHERE)  # nothing is in the way of another


def seed(namespace: Namespace) -> int:
    """What the release's run says."""
    return json.loads(namespace.existing("configmap", "ttsrl-run")["data"]["run.json"])["seed"]
