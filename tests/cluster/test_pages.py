"""Every command of README and docs about Kubernetes is run, in an order that makes sense.

One that is added to a page fails this test, and before it tests/unit/docs/test_docs.py, until it is
run too or has its reason in tests/support/pages.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from doc_commands import PageRunner
from harness import NOWHERE, SMALL, Bucket, Namespace
from support.pages import kubernetes_commands
from test_monitors import LABELS, prometheus_of
from test_whole_job import FEW_STEPS, ended, ending
from testbed.operators import prometheus_url

INSTALL = "helm install ttsrl ./helm -f my-values.yaml --set-file texts=texts.jsonl"


@pytest.mark.timeout(3600)
def test_each_command_of_the_pages_works_as_it_stands(
    namespace: Namespace, bucket: Bucket, tmp_path: Path
) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_testbed("fake nodes, Prometheus and operators")
    namespace.releases.append("ttsrl")
    namespace.kubectl("delete", "secret", "ttsrl-s3")
    run = PageRunner(namespace, bucket, tmp_path)
    as_an_owner(run, namespace, bucket)
    with_gpus(run, namespace, bucket)
    on_cpus(run, namespace, bucket)
    in_trouble(run, namespace)
    assert set(kubernetes_commands()) <= set(run.commands)


def as_an_owner(run: PageRunner, namespace: Namespace, bucket: Bucket) -> None:
    """Nodes, and a release from its install to its end."""
    run.add_node()
    run("kubectl label node NODE ttsrl.dev/pool=reward")
    run("kubectl taint node NODE nvidia.com/gpu=present:NoSchedule")
    assert run.node in run("kubectl get nodes -L ttsrl.dev/pool,nvidia.com/gpu.product")
    run("kubectl delete node NAME")
    assert "keda:" in run("helm show values ./helm")
    # what waits for GPUs needs no head that takes cores meanwhile
    small = {"resources": {"requests": {"cpu": "50m"}}}
    run.write_values(bucket, reward=small, train={"head": {"nodeSelector": NOWHERE}})
    run("helm template ttsrl ./helm --namespace speech -f my-values.yaml > release.yaml")
    assert "ttsrl-train:" in run("ttsrl mirror release.yaml")
    run("ttsrl mirror release.yaml --models-to s3://BUCKET/models")  # its models are in the images
    run("kubectl -n speech create secret generic ttsrl-s3 --from-file=credentials=FILE")
    run("helm install ttsrl ./helm --namespace speech --create-namespace -f my-values.yaml")
    run("kubectl rollout status deployment/ttsrl-reward --timeout=30m")
    run("helm test ttsrl --namespace speech")
    run("helm test ttsrl")
    for command in ("helm rollback ttsrl --namespace speech", "helm rollback ttsrl"):
        run("helm upgrade ttsrl ./helm --namespace speech -f my-values.yaml")
        run(command)
    run("helm uninstall ttsrl --namespace speech")
    run("kubectl -n speech delete pvc ttsrl-models")
    run(
        "kubectl -n speech delete pods "
        "-l app.kubernetes.io/instance=ttsrl,app.kubernetes.io/component=test"
    )
    until_gone(namespace)
    namespace.kubectl("delete", "secret", "ttsrl-s3")


def with_gpus(run: PageRunner, namespace: Namespace, bucket: Bucket) -> None:
    """Jobs as they stand: their pods wait, or are placed on fake nodes."""
    run("kubectl create secret generic ttsrl-s3 --from-file=credentials=$HOME/.aws/credentials")
    run(INSTALL)
    run.run("kubectl rollout status deployment/ttsrl-reward --timeout=5m")
    run("ttsrl doctor --cluster")
    for command in (
        "kubectl apply -f jobs/train",
        "kubectl apply -f jobs/train/pytorchjob",
        "kubectl apply -f jobs/train/trainjob",
        "ttsrl submit",
        "ttsrl submit --kind pytorchjob",
        "ttsrl submit --kind trainjob",
    ):
        assert "created" in run(command)
        assert "ttsrl-train" in run("ttsrl status")
        assert "ttsrl-train" in run("ttsrl status --json")
        run("ttsrl stop")
        run("ttsrl stop --delete")
        if command == "kubectl apply -f jobs/train/trainjob":  # nothing owns what kubectl made
            namespace.kubectl("delete", "-f", command.split()[-1], "--ignore-not-found")
    assert "created" in run("ttsrl submit --queue NAME")
    namespace.until("who waits", lambda: "none-of-mine" in run("kubectl describe workloads"), 60)
    run("ttsrl stop --delete")
    for command in ("kubectl apply -f jobs/eval", "kubectl apply -f jobs/eval/jobset"):
        assert "ttsrl-eval created" in run(command)
        namespace.kubectl("delete", "-f", command.split()[-1])
    run("helm upgrade ttsrl ./helm -f my-values.yaml -f helm/values/a100-80.yaml")
    run("ttsrl submit --dry-run")
    assert "created" in run("ttsrl submit")
    run("ttsrl submit --print")
    run("ttsrl logs --previous", codes=(1,))  # none has failed
    run.write_run()
    for command in (
        "ttsrl submit --name a --set seed=1",
        "ttsrl submit --name b --set seed=2",
        "ttsrl submit --name c --config run.json",
    ):
        assert "created" in run(command)
    assert "b: RayJob ttsrl-b-train" in run("ttsrl status")
    assert "ttsrl-b-train" in run("ttsrl status --run b")
    run("ttsrl logs --run b --follow", ends_after=5)
    run("ttsrl stop --run b")
    run("ttsrl stop --delete")
    assert "created" in run("ttsrl eval --cluster")
    assert "created" in run("kubectl apply -f jobs/train")
    namespace.helm("uninstall", "ttsrl")
    assert '"ttsrl-train" deleted' in run(  # which nothing owns
        "kubectl -n speech delete rayjobs,jobs,configmaps "
        "-l app.kubernetes.io/instance=ttsrl,ttsrl.dev/run"
    )
    namespace.kubectl("delete", "pvc", "ttsrl-models", "--wait=false")  # which Helm keeps
    until_gone(namespace)
    bucket.remove("speech/runs/")  # of jobs that came as far as to write their configuration


def on_cpus(run: PageRunner, namespace: Namespace, bucket: Bucket) -> None:
    """The tiny stack's whole path, watched by a Prometheus."""
    keda = f"enabled=true,reward.autoscaling.keda.serverAddress={prometheus_url()}"
    run(
        "helm install ttsrl ./helm -f helm/ci/tiny-values.yaml "
        "-f helm/values/cpu.yaml --set run.storage=s3://BUCKET",
        f"--set s3.endpoint={bucket.endpoint},{FEW_STEPS},{SMALL}",
        f"--set reward.autoscaling.maxReplicas=1,reward.autoscaling.keda.{keda}",
        *LABELS,
    )
    prometheus_of(namespace)
    run.run("kubectl rollout status deployment/ttsrl-reward --timeout=5m")
    run("ttsrl submit")
    assert "ttsrl-train" in run("kubectl get rayjob ttsrl-train --watch", ends_after=10)
    ask_prometheus(run, namespace)
    run("ttsrl status --follow")
    assert namespace.until("the end of training", lambda: ended(namespace), 600) == "Complete"
    assert "step 8/8" in run("ttsrl logs")
    assert "step 8/8" in run("ttsrl logs --follow")
    run("ttsrl eval --cluster")
    until_evaluated(namespace, "ttsrl-eval")
    assert "ttsrl-eval-reduce-0" in run("kubectl get jobs")
    run("kubectl logs job/NAME")
    run("ttsrl pull ttsrl --to model")
    run("ttsrl pull ttsrl --to best --best")
    run("ttsrl pull s3://BUCKET/speech/runs/ttsrl --to model --step 400")
    say = 'ttsrl say "two red birds sing" --model model --codec examples/tiny/codec --out hello.wav'
    for command in (say, 'ttsrl say "Hello there" --model model --out hello.wav'):
        run(command)
        assert (run.folder / "hello.wav").stat().st_size > 10_000
    run("kubectl delete job NAME")
    another_run(run, namespace)


def another_run(run: PageRunner, namespace: Namespace) -> None:
    """Of the same release, through the same reward service."""
    short = ("--set train.steps=2", "--set train.save_every=2", "--set eval.max_texts=8")
    assert "created" in run("ttsrl submit --name a --set seed=1", *short)
    ends = namespace.until("the end of a", lambda: ended(namespace, "ttsrl-a-train"), 600)
    assert ends == "Complete"
    run("ttsrl eval --cluster --run a")
    until_evaluated(namespace, "ttsrl-a-eval")
    run.run("rm -r model")
    run("ttsrl pull ttsrl --run a --to model")
    run("ttsrl report ttsrl --run a --to a-report")
    assert (run.folder / "a-report/report.html").exists()


def until_evaluated(namespace: Namespace, name: str) -> None:
    """As one JobSet: the group full has its API."""
    done = namespace.until(f"the end of {name}", lambda: ending(namespace, "jobset", name), 900)
    assert done == "Completed", namespace.describe()


def ask_prometheus(run: PageRunner, namespace: Namespace) -> None:
    """While training runs: which panels show something."""
    panels = ("ttsrl / Reward service / Latency / Request", "ttsrl / Training / Now / Reward")

    def shown(command: str) -> bool:
        said = run(command, codes=(1,))  # exporters of Kubernetes and NVIDIA are missing
        assert "queries have series" in said
        return not any(f"no series: {panel}" in said for panel in panels)

    for where, command in {
        "kubectl port-forward -n monitoring svc/prometheus-operated 9090 &": (
            "python -m monitoring --check http://127.0.0.1:9090 --release ttsrl"
        ),
        "kubectl -n monitoring port-forward svc/prometheus-operated 9090 &": (
            "python -m monitoring --check http://127.0.0.1:9090 --release ttsrl --range 6h"
        ),
    }.items():
        with run.in_background(where):
            namespace.until("panels", lambda command=command: shown(command), 180)


def in_trouble(run: PageRunner, namespace: Namespace) -> None:
    """What to look at, and what to renew."""
    assert "ttsrl-reward" in run("kubectl get pods -l app.kubernetes.io/component=reward")
    assert "Liveness" in run("kubectl describe pod -l app.kubernetes.io/component=reward")
    assert run("kubectl logs deployment/ttsrl-reward")
    assert run("kubectl logs deployment/ttsrl-reward -f", ends_after=5)
    run("kubectl logs deployment/ttsrl-reward --previous", codes=(0, 1))  # 1: none restarted
    run("kubectl rollout status deployment/ttsrl-reward")
    assert "Server Address" in run("kubectl describe scaledobject ttsrl-reward")
    run("kubectl get events --sort-by=.lastTimestamp")
    run(
        "kubectl create secret generic ttsrl-s3 --from-file=credentials=FILE --dry-run=client "
        "-o yaml | kubectl apply -f -"
    )


def until_gone(namespace: Namespace) -> None:
    """A claim that is on its way out is in the way of the next release's."""
    namespace.until("no claim", lambda: namespace.get("pvc", "ttsrl-models") is None, 180)
