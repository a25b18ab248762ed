"""The operators, as pods, from their own projects' manifests.

Changed are the image, what a pod asks for (the node has two cores) and how soon it is probed.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from . import gpus, pki
from .images import ttsrl_image
from .node import address, kubectl
from .paths import STATE, TestbedError
from .processes import start, wait
from .tools import binary, manifests, tool_image

Manifest = dict[str, Any]

# Where every core is busy, a pod gets as much of them as it asked for among all that ask.
CPU = "60m"
LEASE = {"LEASE_DURATION": "120s", "RENEW_DEADLINE": "90s", "RETRY_PERIOD": "10s"}
KUEUE_FRAMEWORKS = [
    *("batch/job", "ray.io/rayjob", "ray.io/raycluster", "kubeflow.org/pytorchjob"),
    "trainer.kubeflow.org/trainjob",
]

# Its own template runs as root: Pod Security "restricted" refuses that, and the job never starts.
PYTORCH_INIT = """\
- name: init-pytorch
  image: {{.InitContainerImage}}
  imagePullPolicy: IfNotPresent
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    runAsNonRoot: true
    runAsUser: 10001
    capabilities: {drop: [ALL]}
    seccompProfile: {type: RuntimeDefault}
  resources:
    requests: {cpu: 10m, memory: 16Mi}
    limits: {memory: 64Mi}
  command:
    - python3
    - -c
    - |
      import socket, time
      for _ in range({{.MaxTries}}):
          try:
              socket.gethostbyname("{{.MasterAddr}}")
              break
          except OSError:
              time.sleep(1)
      else:
          raise SystemExit("the master has no address")
"""


def apply(objects: list[Manifest]) -> None:
    """Definitions first: other objects may be of their kinds."""
    definitions = [o for o in objects if o["kind"] == "CustomResourceDefinition"]
    others = [o for o in objects if o["kind"] != "CustomResourceDefinition"]
    for items in filter(None, (definitions, others)):
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=text)
        if items is definitions:
            names = [f"crd/{o['metadata']['name']}" for o in items]
            wait("the definitions' kinds", lambda names=names: _established(names), 60)


def _established(names: list[str]) -> bool:
    try:
        kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
    except (
        TestbedError
    ):  # a definition that is new has no conditions, and `kubectl wait` fails on it
        return False
    return True


def kuberay() -> None:
    _install("kuberay", "ray-operator/config/default", _nothing)


def training_operator() -> None:
    def with_init_container(deployment: Manifest) -> None:
        pod = deployment["spec"]["template"]["spec"]
        container = pod["containers"][0]
        template = "/etc/ttsrl/initContainer.yaml"
        container["args"] = [
            *container.get("args", []),
            f"--pytorch-init-container-image={ttsrl_image('train')}",
            f"--pytorch-init-container-template-file={template}",
        ]
        container.setdefault("volumeMounts", []).append({"name": "init", "mountPath": "/etc/ttsrl"})
        pod.setdefault("volumes", []).append(
            {"name": "init", "configMap": {"name": "pytorch-init"}}
        )

    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "pytorch-init", "namespace": "kubeflow"},
        "data": {"initContainer.yaml": PYTORCH_INIT},
    }
    _install("training-operator", "manifests/overlays/standalone", with_init_container, [config])


def keda() -> None:
    """On a machine that is busy its operator would lose its lease within 10 seconds, and end."""

    def with_patience(deployment: Manifest) -> None:
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        container.setdefault("env", []).extend(
            {"name": f"KEDA_OPERATOR_LEADER_ELECTION_{name}", "value": value}
            for name, value in LEASE.items()
        )

    _install("keda", "config/default", with_patience)


def kueue() -> None:
    """With PyTorchJobs, which are off by default, and without what has no CRD here."""

    def with_frameworks(objects: list[Manifest]) -> None:
        [held] = [o for o in objects if o["kind"] == "ConfigMap"]
        [key] = held["data"]
        config = yaml.safe_load(held["data"][key])
        config["integrations"] = {"frameworks": KUEUE_FRAMEWORKS}
        held["data"][key] = yaml.safe_dump(config)

    _install("kueue", "config/default", _nothing, change_all=with_frameworks)


def jobset() -> None:
    _install("jobset", "config/default", _nothing)


def trainer() -> None:
    """Kubeflow Trainer 2, on the JobSet that is here: its own overlay would download one."""
    with TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(manifests("trainer") / "manifests", folder, dirs_exist_ok=True))
        overlay = copy / "overlays/manager/kustomization.yaml"
        kustomization = yaml.safe_load(overlay.read_text())
        kustomization["resources"].remove("../../third-party/jobset")
        overlay.write_text(yaml.safe_dump(kustomization))
        _install_objects("trainer", _rendered(overlay.parent))


def prometheus_operator() -> None:
    """Alone: whoever wants a Prometheus makes one of its objects."""

    def with_its_reloader(deployment: Manifest) -> None:
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        flag = "--prometheus-config-reloader="
        image = tool_image("prometheus-operator")
        container["args"] = [
            flag + image if argument.startswith(flag) else argument
            for argument in container["args"]
        ]

    _install("prometheus-operator", "bundle.yaml", with_its_reloader)


def kwok() -> None:
    """A host process that keeps the fake nodes with GPUs alive and runs the pods on them."""
    folder = manifests("kwok") / "kustomize"
    stages = _rendered(folder / "stage/fast")
    [complete] = [stage for stage in stages if stage["metadata"]["name"] == "pod-complete"]
    complete["spec"]["selector"]["matchExpressions"].append(gpus.NOT_OF_TRAINING)
    apply([*_rendered(folder / "crd"), *stages])
    start(
        *("kwok", binary("kwok"), f"--kubeconfig={pki.kubeconfig('admin')}"),
        *("--manage-all-nodes=false", f"--manage-nodes-with-annotation-selector={gpus.FAKE}=fake"),
        *(f"--node-ip={address()}", "--node-port=10247", "--server-address=0.0.0.0:10247"),
        *("--enable-crds=Stage", "--cidr=10.250.0.0/16"),
    )
    apply(gpus.nodes())


def prometheus(name: str = "prometheus", port: int = 9090, namespace: str = "") -> None:
    """A host process that scrapes every pod with a port named http or metrics of this project.

    Another name, port and namespace make one that a test can stop, for that namespace alone.
    """
    where = {"namespaces": {"names": [namespace]}} if namespace else {}
    config = {
        "global": {"scrape_interval": "2s", "evaluation_interval": "2s"},
        "scrape_configs": [
            {
                "job_name": "ttsrl",
                "kubernetes_sd_configs": [
                    {"role": "pod", "kubeconfig_file": str(pki.kubeconfig("admin")), **where}
                ],
                "relabel_configs": [
                    _keep("__meta_kubernetes_pod_label_app_kubernetes_io_name", "ttsrl"),
                    _keep("__meta_kubernetes_pod_container_port_name", "http|metrics"),
                    _copy("__meta_kubernetes_namespace", "namespace"),
                    _copy("__meta_kubernetes_pod_name", "pod"),
                ],
            }
        ],
    }
    path = STATE / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config))
    start(
        *(name, binary("prometheus"), f"--config.file={path}"),
        *(f"--storage.tsdb.path={STATE}/{name}", f"--web.listen-address={address()}:{port}"),
    )


def prometheus_url(port: int = 9090) -> str:
    return f"http://{address()}:{port}"


CORE: dict[str, Callable[[], None]] = {
    "kuberay": kuberay,
    "training-operator": training_operator,
    "kwok": kwok,
}
SCALE: dict[str, Callable[[], None]] = {"keda": keda, "prometheus": prometheus}
FULL: dict[str, Callable[[], None]] = {
    "jobset": jobset,
    "trainer": trainer,
    "kueue": kueue,
    "prometheus-operator": prometheus_operator,
}
OPERATORS = {"core": CORE, "scale": CORE | SCALE, "full": CORE | SCALE | FULL}


NAMESPACES = ("default", "kubeflow", "kubeflow-system", "keda", "kueue-system", "jobset-system")
"""Where operators are."""


def wait_ready() -> None:
    """Every operator's Deployment is rolled out, and every aggregated API answers."""
    for line in kubectl("get", "deployments", "-A", "--no-headers").splitlines():
        namespace, name = line.split()[:2]
        if namespace in NAMESPACES:
            kubectl("-n", namespace, "rollout", "status", f"deploy/{name}", "--timeout=240s")
    kubectl("wait", "--for=condition=Available", "apiservice", "--all", "--timeout=120s")


def _install(
    name: str,
    path: str,
    change: Callable[[Manifest], None],
    before: list[Manifest] | None = None,
    change_all: Callable[[list[Manifest]], None] | None = None,
) -> None:
    objects = _rendered(manifests(name) / path.removeprefix("ray-operator/"))
    if change_all:
        change_all(objects)
    _install_objects(name, [*objects, *(before or [])], change)


def _install_objects(
    name: str, objects: list[Manifest], change: Callable[[Manifest], None] = lambda _: None
) -> None:
    for deployment in (o for o in objects if o["kind"] == "Deployment"):
        for container in deployment["spec"]["template"]["spec"]["containers"]:
            container["image"] = tool_image(name)
            container["imagePullPolicy"] = "IfNotPresent"
            container["resources"] = {"requests": {"cpu": CPU, "memory": "64Mi"}}
            for probe in ("readinessProbe", "livenessProbe"):
                container.get(probe, {}).update(initialDelaySeconds=2, periodSeconds=3)
        change(deployment)
    apply(objects)


def _rendered(path: Path) -> list[Manifest]:
    """Of a folder with a kustomization, or of a file."""
    text = path.read_text() if path.is_file() else kubectl("kustomize", path)
    return [o for o in yaml.load_all(text, _Loader) if o]


class _Loader(yaml.CSafeLoader):
    """Definitions of operators are megabytes, and prometheus-operator's have the value `=`."""


_Loader.add_constructor("tag:yaml.org,2002:value", _Loader.construct_scalar)


def _nothing(_: Manifest) -> None:
    pass


def _keep(label: str, regex: str) -> Manifest:
    return {"source_labels": [label], "regex": regex, "action": "keep"}


def _copy(label: str, target: str) -> Manifest:
    return {"source_labels": [label], "target_label": target}
