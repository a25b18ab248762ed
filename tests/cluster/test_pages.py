"""Every command of README and docs about Kubernetes is typed, in an order that makes sense.

One that is added to a page fails this test until it is typed too, or has its reason here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from bed.operators import prometheus_url
from bed.paths import REPOSITORY
from harness import Bucket, Namespace
from pages import commands
from test_monitors import LABELS, prometheus_of
from test_whole_job import FEW_STEPS, ended, ending
from typist import Typist

UNTYPED = {
    "docker build ": "its bases come from a registry; bed/images.py builds the same files",
    "skaffold ": "in test_skaffold.py",
    "export TTSRL_STORAGE": "in test_skaffold.py",
    "ttsrl pull ... ": "with an address above",
}
NAMED = {
    *("helm install", "helm test", "helm upgrade", "helm uninstall", "kubectl apply"),
    *("kubectl rollout status", "ttsrl pull", "ttsrl prepare"),
}
"""Commands that a sentence speaks of."""
INSTALL = "helm install ttsrl ./helm -f my-values.yaml --set-file texts=texts.jsonl"
REWARD = "-l app.kubernetes.io/component=reward"


@pytest.mark.timeout(2400)
def test_each_command_of_the_pages_works_as_it_stands(
    namespace: Namespace, bucket: Bucket, tmp_path: Path
):
    namespace.cluster.require_full()
    namespace.cluster.require_bed("fake nodes, Prometheus and operators")
    namespace.releases.append("ttsrl")
    namespace.kubectl("delete", "secret", "ttsrl-s3")
    typed = Typist(namespace, bucket, tmp_path)
    as_an_owner(typed, namespace, bucket)
    with_gpus(typed, namespace, bucket)
    on_cpus(typed, namespace, bucket)
    in_trouble(typed, namespace)
    left = [c for c in commands(pages()) if c not in NAMED and not c.startswith(tuple(UNTYPED))]
    assert set(left) <= set(typed.typed)


def pages() -> list[str]:
    """README's part on Kubernetes, and the pages about it."""
    readme = (REPOSITORY / "README.md").read_text()
    docs = ("cluster-owner", "user", "troubleshooting")
    return [
        readme.partition("\n## On Kubernetes\n")[2].partition("\n## ")[0],
        *((REPOSITORY / f"docs/{name}.md").read_text() for name in docs),
    ]


def as_an_owner(typed: Typist, namespace: Namespace, bucket: Bucket) -> None:
    """Nodes, and a release from its install to its end."""
    typed.add_node()
    typed("kubectl label node NODE ttsrl.dev/pool=reward")
    typed("kubectl taint node NODE nvidia.com/gpu=present:NoSchedule")
    assert typed.node in typed("kubectl get nodes -L ttsrl.dev/pool,nvidia.com/gpu.product")
    typed("kubectl delete node NAME")
    assert "keda:" in typed("helm show values ./helm")
    typed.write_values(bucket)
    typed("kubectl -n speech create secret generic ttsrl-s3 --from-file=credentials=FILE")
    typed("helm install ttsrl ./helm --namespace speech --create-namespace -f my-values.yaml")
    typed("kubectl rollout status deployment/ttsrl-reward --timeout=30m")
    typed("helm test ttsrl --namespace speech")
    typed("helm test ttsrl")
    for command in ("helm rollback ttsrl --namespace speech", "helm rollback ttsrl"):
        typed("helm upgrade ttsrl ./helm --namespace speech -f my-values.yaml")
        typed(command)
    typed("helm uninstall ttsrl --namespace speech")
    until_gone(namespace)
    namespace.kubectl("delete", "secret", "ttsrl-s3")


def with_gpus(typed: Typist, namespace: Namespace, bucket: Bucket) -> None:
    """Jobs as they stand: their pods wait, or are placed on fake nodes."""
    typed("kubectl create secret generic ttsrl-s3 --from-file=credentials=$HOME/.aws/credentials")
    typed(INSTALL)
    typed.run("kubectl rollout status deployment/ttsrl-reward --timeout=5m")
    typed("ttsrl doctor --cluster")
    for command in (
        "kubectl apply -f jobs/train",
        "kubectl apply -k jobs/train/pytorchjob",
        "ttsrl submit",
        "ttsrl submit --kind pytorchjob",
    ):
        assert "created" in typed(command)
        assert "ttsrl-train" in typed("ttsrl status")
        typed("ttsrl stop")
    for command in ("kubectl apply -f jobs/eval", "kubectl apply -f jobs/eval/jobset"):
        assert "ttsrl-eval created" in typed(command)
        namespace.kubectl("delete", "-f", command.split()[-1])
    overlay = REPOSITORY / "jobs/train/overlays/a100-80/values.yaml"
    typed.write_values(bucket, **yaml.safe_load(overlay.read_text()))
    typed.run(INSTALL.replace("install", "upgrade"))
    for command in (
        "kubectl apply -k jobs/train/overlays/a100-80",
        "ttsrl submit --overlay a100-80",
    ):
        assert "created" in typed(command)
        typed("ttsrl stop")
    namespace.helm("uninstall", "ttsrl")
    until_gone(namespace)


def on_cpus(typed: Typist, namespace: Namespace, bucket: Bucket) -> None:
    """The tiny stack's whole path, watched by a Prometheus."""
    keda = f"enabled=true,reward.autoscaling.keda.serverAddress={prometheus_url()}"
    typed(
        "helm install ttsrl ./helm -f helm/ci/tiny-values.yaml "
        "-f jobs/train/overlays/cpu/values.yaml --set run.storage=s3://BUCKET",
        f"--set s3.endpoint={bucket.endpoint},{FEW_STEPS}",
        f"--set reward.autoscaling.maxReplicas=1,reward.autoscaling.keda.{keda}",
        *LABELS,
    )
    prometheus_of(namespace)
    typed.run("kubectl rollout status deployment/ttsrl-reward --timeout=5m")
    typed("kubectl apply -k jobs/train/overlays/cpu")
    assert "ttsrl-train" in typed("kubectl get rayjob ttsrl-train --watch", ends_after=10)
    ask_prometheus(typed, namespace)
    typed("ttsrl status --follow")
    assert namespace.until("the end of training", lambda: ended(namespace), 600) == "Complete"
    assert "step 8/8" in typed("ttsrl logs")
    assert "step 8/8" in typed("ttsrl logs --follow")
    typed("kubectl apply -k jobs/eval/overlays/cpu")
    reduced = "ttsrl-eval-reduce"
    namespace.until("the report", lambda: ending(namespace, "job", reduced) == "Complete", 600)
    assert reduced in typed("kubectl get jobs")
    typed("ttsrl pull ttsrl --to model")
    typed("ttsrl pull ttsrl --to best --best")
    typed("ttsrl pull s3://BUCKET/speech/runs/ttsrl --to model --step 400")
    say = 'ttsrl say "two red birds sing" --model model --codec examples/tiny/codec --out hello.wav'
    for command in (say, 'ttsrl say "Hello there" --model model --out hello.wav'):
        typed(command)
        assert (typed.folder / "hello.wav").stat().st_size > 10_000


def ask_prometheus(typed: Typist, namespace: Namespace) -> None:
    """While training runs: which panels show something."""
    check = "python -m monitoring --check http://127.0.0.1:9090 --release ttsrl"
    panels = ("ttsrl / Reward service / Latency / Request", "ttsrl / Training / Now / Reward")

    def shown(command: str) -> bool:
        said = typed(command, codes=(1,))  # exporters of Kubernetes and NVIDIA are missing
        assert "queries have series" in said
        return not any(f"no series: {panel}" in said for panel in panels)

    for where, command in {
        "kubectl port-forward -n monitoring svc/prometheus-operated 9090 &": check,
        "kubectl -n monitoring port-forward svc/prometheus-operated 9090 &": f"{check} --range 6h",
    }.items():
        with typed.in_background(where):
            namespace.until("panels", lambda command=command: shown(command), 180)


def in_trouble(typed: Typist, namespace: Namespace) -> None:
    """What to look at, and what to renew."""
    assert "ttsrl-reward" in typed(f"kubectl get pods {REWARD}")
    assert "Liveness" in typed(f"kubectl describe pod {REWARD}")
    assert typed("kubectl logs deployment/ttsrl-reward")
    assert typed("kubectl logs deployment/ttsrl-reward -f", ends_after=5)
    typed("kubectl logs deployment/ttsrl-reward --previous", codes=(0, 1))  # 1: none restarted
    typed("kubectl rollout status deployment/ttsrl-reward")
    assert "Server Address" in typed("kubectl describe scaledobject ttsrl-reward")
    typed("kubectl get events --sort-by=.lastTimestamp")
    typed(
        "kubectl create secret generic ttsrl-s3 --from-file=credentials=FILE --dry-run=client "
        "-o yaml | kubectl apply -f -"
    )


def until_gone(namespace: Namespace) -> None:
    """A claim that is on its way out is in the way of the next release's."""
    namespace.until("no claim", lambda: namespace.get("pvc", "ttsrl-models") is None, 180)
