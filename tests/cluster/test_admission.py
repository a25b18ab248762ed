"""Pod Security "restricted": what of ttsrl and of the operators is admitted, and what is not."""

from __future__ import annotations

from harness import REWARD_NOWHERE, Namespace, manifests, nowhere, on_cpus
from testbed.paths import REPOSITORY, VERSION

TRAIN = REPOSITORY / "jobs/train"


def test_a_privileged_pod_is_refused(namespace: Namespace) -> None:
    command = ("run", "privileged", f"--image=ttsrl-jobs:{VERSION}", "--privileged")
    said = namespace.kubectl(*command, check=False)
    assert 'violates PodSecurity "restricted' in said


def test_pods_that_kuberay_makes_are_admitted_with_what_it_adds_to_them(
    namespace: Namespace,
) -> None:
    namespace.cluster.require_api("rayjobs.ray.io")
    namespace.install_without_waiting(*REWARD_NOWHERE)
    namespace.apply(nowhere(on_cpus(manifests(TRAIN))))
    pods = namespace.until(
        "a worker", lambda: namespace.list("pods", "ray.io/node-type=worker"), 60
    )
    (waiting,) = pods[0]["spec"]["initContainers"]
    assert waiting["name"] == "wait-gcs-ready"  # KubeRay's own
    assert waiting["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_pods_that_the_training_operator_makes_are_admitted_with_what_it_adds_to_them(
    namespace: Namespace,
) -> None:
    namespace.cluster.require_api("pytorchjobs.kubeflow.org")
    namespace.install_without_waiting(*REWARD_NOWHERE)
    (job,) = nowhere(on_cpus(manifests(TRAIN / "pytorchjob", "PyTorchJob")))
    replicas = job["spec"]["pytorchReplicaSpecs"]
    replicas["Worker"] = {**replicas["Master"], "replicas": 1}
    namespace.apply([job])
    selector = "training.kubeflow.org/replica-type=worker"
    pods = namespace.until("a worker", lambda: namespace.list("pods", selector), 180)
    (waiting,) = pods[0]["spec"]["initContainers"]
    assert waiting["name"] == "init-pytorch"
    assert waiting["securityContext"]["runAsNonRoot"] is True
