"""What the chart makes of values, by Helm's own engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from support.helm_chart import (
    CHART,
    CI_VALUES,
    EVERY_API,
    KUBE_VERSION,
    VERSION,
    Manifest,
    find,
    pod_specs,
    read_values,
    render,
    render_text,
    with_storage,
)
from support.paths import ROOT
from support.releases import VALUES
from support.releases import release as release_of
from ttsrl.config.schema import RunConfig
from ttsrl.facts import OfDeployment, walk_class, walk_raw
from ttsrl.kube import names
from ttsrl.kube.names import Names

TINY = CHART / "ci/tiny-values.yaml"
EVERYTHING = CHART / "ci/everything-on-values.yaml"
NOTHING = CHART / "ci/nothing-optional-values.yaml"
GOLDEN = Path(__file__).parent / "golden/chart-defaults.yaml"

OPERATORS_KINDS = {
    "ScaledObject": "keda.sh/v1alpha1",
    "ServiceMonitor": "monitoring.coreos.com/v1",
    "PodMonitor": "monitoring.coreos.com/v1",
    "PrometheusRule": "monitoring.coreos.com/v1",
    "LocalQueue": "kueue.x-k8s.io/v1beta2",
}
"""Kind of an operator -> API that it needs."""


def names_of(release: str) -> Names:
    return release_of(name=release).names


def run_of(manifests: list[Manifest], name: str = "ttsrl-run") -> dict[str, Any]:
    return json.loads(find(manifests, "ConfigMap", name)["data"]["run.json"])


def keys(manifests: list[Manifest]) -> list[tuple[str, str, str]]:
    """(kind, namespace, name); objects without a namespace are the cluster's."""
    return [
        (m["kind"], m["metadata"].get("namespace", ""), m["metadata"]["name"]) for m in manifests
    ]


@pytest.mark.parametrize("values", [None, *CI_VALUES], ids=lambda v: v.stem if v else "defaults")
def test_helm_lint_finds_nothing(values: Path | None) -> None:
    given = with_storage(read_values(values) if values else None)
    report = helm.lint(CHART, given, strict=True, namespace="speech", kube_version=KUBE_VERSION)
    worse_than_info = [m for m in report["messages"] if m["severity"] > 1]
    assert (worse_than_info, report["errors"]) == ([], [])


@pytest.mark.parametrize("values", [None, *CI_VALUES], ids=lambda v: v.stem if v else "defaults")
def test_every_object_is_one_that_kubernetes_knows(values: Path | None) -> None:
    manifests = render(read_values(values) if values else None, apis=EVERY_API)
    for manifest in manifests:
        if manifest["kind"] not in OPERATORS_KINDS:
            kubernetes_validate.validate(manifest, KUBE_VERSION, strict=True)
    assert len(keys(manifests)) == len(set(keys(manifests)))


def test_the_schemas_of_kubernetes_refuse_what_is_wrong() -> None:
    deployment = find(render(), "Deployment", "ttsrl-reward")
    deployment["spec"]["template"]["spec"]["container"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="container"):
        kubernetes_validate.validate(deployment, KUBE_VERSION, strict=True)


def test_the_defaults_are_as_the_golden_file_shows_them() -> None:
    parts = [
        text.strip().removeprefix("---").strip()
        for template, text in sorted(render_text().items())
        if template.endswith(".yaml") and "/dashboards.yaml" not in template and text.strip()
    ]
    token = yaml.safe_load(next(part for part in parts if "kind: Secret" in part))["data"]["token"]
    rendered = "\n---\n".join(parts).replace(token, "(40 random characters)") + "\n"
    rendered = re.sub(rf"(?<![\d.]){re.escape(VERSION)}(?![\d.])", "VERSION", rendered)
    golden = GOLDEN.read_text()
    GOLDEN.write_text(rendered)
    assert rendered == golden, f"{GOLDEN.relative_to(ROOT)} is new: read its diff and commit it"


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda v: v.stem)
def test_every_pod_reads_a_run_that_is_valid(values: Path) -> None:
    given = read_values(values)
    manifests = render(given)
    run = next(m["data"]["run.json"] for m in manifests if "run.json" in m.get("data", {}))
    name = given.get("run", {}).get("name", "ttsrl")
    assert RunConfig.model_validate_json(run).name == name


def test_the_defaults_of_values_are_those_of_run_config() -> None:
    run = run_of(render())
    smallest = {
        **run,
        "train": {"steps": run["train"]["steps"], "metrics_port": 9400},
        "rollout": {},
        "reward": {key: run["reward"][key] for key in ("url", "token_file", "whisper")},
    }
    assert RunConfig.model_validate(run) == RunConfig.model_validate(smallest)


def test_the_tiny_values_are_the_run_of_the_quickstart() -> None:
    rendered = run_of(render(read_values(TINY)))
    own = {key: rendered[key] for key in ("name", "storage")}
    expected = json.loads((ROOT / "examples/tiny/run.json").read_text())
    folders = {name: f"/app/examples/tiny/{name}" for name in ("policy", "codec", "whisper")}
    expected["model"], expected["codec"] = folders["policy"], folders["codec"]
    expected["data"]["texts"] = "/app/examples/tiny/texts.jsonl"
    expected["guards"]["audit_clips"] = "/app/examples/tiny/clips/clips.tsv"
    expected["reward"]["whisper"]["model"] = folders["whisper"]
    expected["reward"] |= {k: rendered["reward"][k] for k in ("url", "token_file")}
    expected["train"]["metrics_port"] = names.METRICS_PORT
    for judge in expected["eval"]["judges"]:
        judge["model"] = f"/app/examples/tiny/{judge['model']}"
    assert RunConfig.model_validate(rendered) == RunConfig.model_validate(expected | own)


@pytest.mark.parametrize("values", VALUES, ids=lambda v: v.stem)
def test_every_values_file_gives_a_valid_run(values: Path) -> None:
    given = read_values(values)
    run = RunConfig.model_validate(run_of(render(given)))
    for key, value in given.get("run", {}).get("train", {}).items():
        assert run.train.model_dump(mode="json", exclude_unset=True)[key] == value


def test_numbers_reach_the_run_as_they_were_written() -> None:
    values = {
        "run": {"seed": 9007199254740991, "train": {"learning_rate": 1e-7, "steps": 1_000_000}}
    }
    run = RunConfig.model_validate(run_of(render(values)))
    assert run.seed == 9007199254740991
    assert (run.train.learning_rate, run.train.steps) == (1e-7, 1_000_000)


def test_the_release_gives_the_run_its_name_url_and_token() -> None:
    run = run_of(render(release="news", namespace="speech"), "news-ttsrl-run")
    assert run["name"] == "news"
    assert run["reward"]["url"] == "http://news-ttsrl-reward.speech:3000"
    assert run["reward"]["token_file"] == names.TOKEN_FILE

    given = {"name": "other", "reward": {"url": "http://judge-ttsrl-reward:3000"}}
    run = run_of(render({"run": given}, release="news"), "news-ttsrl-run")
    assert (run["name"], run["reward"]["url"]) == ("other", "http://judge-ttsrl-reward:3000")


def test_what_the_chart_adds_to_a_run_is_its_name_and_what_is_of_the_deployment() -> None:
    """`ttsrl submit --config` compares the rest of a run's file with the release."""
    given = read_values(CHART / "values.yaml")["run"]
    rendered = run_of(render({"reward": {"gpu": {"count": 2}}}))
    before, after = ({s.name for s in walk_raw(RunConfig, run)} for run in (given, rendered))
    of_the_deployment = {s.name for s in walk_class(RunConfig) if s.fact(OfDeployment)}
    assert after - before == {"name"} | of_the_deployment


def test_texts_in_values_become_the_run_s_texts() -> None:
    texts = '{"text": "Guten Tag, \\"Welt\\" & 100 %."}\n{"text": "{{ .Values }}"}\n'
    manifests = render({"texts": texts})
    assert find(manifests, "ConfigMap", "ttsrl-run")["data"]["texts.jsonl"] == texts
    assert run_of(manifests)["data"]["texts"] == "/etc/ttsrl/texts.jsonl"


@pytest.mark.parametrize("release", ["ttsrl", "my-ttsrl", "news"])
def test_objects_are_called_what_python_calls_them(release: str) -> None:
    manifests = render({"kueue": {"clusterQueue": "gpus"}}, release=release, apis=EVERY_API)
    ours = names_of(release)
    made = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    assert made >= {
        ("Deployment", ours.reward),
        ("Service", ours.reward),
    }
    (reward,) = [spec for name, spec in pod_specs(manifests) if name.startswith("Deployment/")]
    (container,) = reward["containers"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in reward["volumes"]}
    assert str(Path(names.RUN_FILE).parent) == mounts["run"]
    assert str(Path(names.TOKEN_FILE).parent) == mounts["token"]
    assert str(Path(names.HF_TOKEN_FILE).parent) == mounts["huggingface"]
    assert mounts["models"] == names.MODELS_FOLDER
    assert volumes["huggingface"]["secret"]["secretName"] == f"{ours.fullname}-huggingface"
    environment = find(manifests, "ConfigMap", f"{ours.fullname}-env")["data"]
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == names.S3_CREDENTIALS_FILE
    assert environment["HF_TOKEN_PATH"] == names.HF_TOKEN_FILE
    storage = dict(pod_specs(manifests))[f"Pod/{ours.fullname}-test-storage"]
    secrets = [v["secret"]["secretName"] for v in storage["volumes"] if "secret" in v]
    assert f"{ours.fullname}-s3" in secrets
    assert container["ports"] == [{"name": "http", "containerPort": names.REWARD_PORT}]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"release": "a"}, {"release": "b"}),
        ({"release": "ttsrl"}, {"release": "ttsrl-b"}),
        ({"namespace": "a"}, {"namespace": "b"}),
        ({"release": "c-d", "namespace": "ab"}, {"release": "d", "namespace": "ab-c"}),
    ],
)
def test_two_releases_share_no_object(one: dict[str, str], other: dict[str, str]) -> None:
    values = read_values(EVERYTHING) | {"fullnameOverride": "", "extraObjects": []}
    first, second = (render(values, apis=EVERY_API, **options) for options in (one, other))
    assert not set(keys(first)) & set(keys(second))


def test_a_release_s_selectors_find_its_own_pods_only() -> None:
    def of(release: str) -> tuple[dict[str, str], dict[str, str]]:
        manifests = render(release=release)
        service = find(manifests, "Service", names_of(release).reward)
        deployment = find(manifests, "Deployment", names_of(release).reward)
        return service["spec"]["selector"], deployment["spec"]["template"]["metadata"]["labels"]

    (selector_a, labels_a), (_, labels_b) = of("a"), of("b")
    assert selector_a.items() <= labels_a.items()
    assert not selector_a.items() <= labels_b.items()


@pytest.mark.parametrize("kind", OPERATORS_KINDS)
def test_an_operator_s_object_appears_only_where_its_api_is(kind: str) -> None:
    values = read_values(EVERYTHING)
    without = [api for api in EVERY_API if api.split("/")[0] not in OPERATORS_KINDS[kind]]
    assert kind not in {m["kind"] for m in render(values, apis=without)}
    (made, *_) = [m for m in render(values, apis=EVERY_API) if m["kind"] == kind]
    assert made["apiVersion"] == OPERATORS_KINDS[kind]


def test_dashboards_are_for_grafana_s_sidecar_and_want_no_operator() -> None:
    found = [one for one in render() if one["metadata"]["labels"].get("grafana_dashboard") == "1"]
    assert {name for one in found for name in one["data"]} == {
        path.name for path in (CHART / "dashboards").glob("*.json")
    }


def test_an_older_kueue_gets_the_api_that_it_has() -> None:
    manifests = render({"kueue": {"clusterQueue": "gpus"}}, apis=["kueue.x-k8s.io/v1beta1"])
    assert find(manifests, "LocalQueue", "ttsrl")["apiVersion"] == "kueue.x-k8s.io/v1beta1"


def test_a_deployment_that_is_scaled_names_no_replicas() -> None:
    keda = {"reward": {"replicas": 3, "autoscaling": {"keda": {"enabled": True}}}}
    hpa = {"reward": {"replicas": 3, "autoscaling": {"hpa": {"enabled": True}}}}
    for values, apis, kind in (
        (keda, EVERY_API, "ScaledObject"),
        (hpa, (), "HorizontalPodAutoscaler"),
    ):
        manifests = render(values, apis=apis)
        assert find(manifests, kind, "ttsrl-reward")
        assert "replicas" not in find(manifests, "Deployment", "ttsrl-reward")["spec"]
    without_keda = render(keda)
    assert find(without_keda, "Deployment", "ttsrl-reward")["spec"]["replicas"] == 3


def test_notes_tell_what_the_cluster_lacks_and_name_the_next_commands() -> None:
    def notes(values: dict[str, Any], **options: Any) -> str:
        return render_text(values, **options)["ttsrl/templates/NOTES.txt"]

    keda = {"reward": {"autoscaling": {"keda": {"enabled": True}}}}
    assert "Not autoscaled" in notes(keda) and "Not monitored" in notes(keda)
    assert "Not " not in notes(keda, apis=EVERY_API)

    own = notes({}, release="ttsrl", namespace="speech")
    assert "ttsrl submit --namespace speech --release ttsrl" in own
    assert "helm -n speech test ttsrl" in own
    assert "ttsrl pull s3://speech/runs/ttsrl" in own
    other = notes({}, release="news", namespace="tts")
    assert "deployment/news-ttsrl-reward" in other and "--release news" in other
    for kind in ("rayjob", "pytorchjob", "trainjob"):
        assert f"-n speech get {kind} -l" in notes({"train": {"kind": kind}})
    assert "ttsrl submit" not in notes({"train": {"create": True}})


def test_an_image_by_digest_has_no_tag() -> None:
    def image(values: dict[str, Any]) -> str:
        spec = find(render(values), "Deployment", "ttsrl-reward")["spec"]["template"]["spec"]
        return spec["containers"][0]["image"]

    digest = "sha256:" + "0" * 64
    assert image({}) == f"ttsrl-reward:{VERSION}"
    assert image({"image": {"registry": "ghcr.io/x", "tag": "2"}}) == "ghcr.io/x/ttsrl-reward:2"
    assert image({"reward": {"image": {"tag": "3", "digest": digest}}}) == f"ttsrl-reward@{digest}"
    mirror = {"global": {"imageRegistry": "mirror.example.org"}}
    assert image(mirror) == f"mirror.example.org/ttsrl-reward:{VERSION}"
    assert image(mirror | {"image": {"registry": "ghcr.io/x", "tag": "2"}}).startswith("ghcr.io/x/")


@pytest.mark.parametrize(
    ("given", "rendered"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": 0}, {"maxUnavailable": 0}),
        ({"minAvailable": "50%"}, {"minAvailable": "50%"}),
    ],
)
def test_a_budget_names_one_limit(given: dict[str, Any], rendered: dict[str, Any]) -> None:
    manifests = render({"reward": {"podDisruptionBudget": given}})
    spec = find(manifests, "PodDisruptionBudget", "ttsrl-reward")["spec"]
    limits = {k: v for k, v in spec.items() if k in ("maxUnavailable", "minAvailable")}
    assert limits == rendered


@pytest.mark.parametrize("deadline_s", [120, 300.5])
def test_a_pod_may_finish_the_longest_score_before_it_is_killed(deadline_s: float) -> None:
    values = {"run": {"reward": {"sample_deadline_s": deadline_s}}}
    pod = find(render(values), "Deployment", "ttsrl-reward")["spec"]["template"]["spec"]
    wait_s = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert 0 <= pod["terminationGracePeriodSeconds"] - wait_s - deadline_s < 1


@pytest.mark.parametrize(
    ("values", "replaced"),
    [
        ({"reward": {"replicas": 2}}, False),
        ({"run": {"train": {"steps": 7}}}, False),
        ({"run": {"rollout": {"temperature": 0.5}}}, False),
        ({"run": {"seed": 3, "storage": "s3://other", "trackers": ["tensorboard"]}}, False),
        ({"run": {"guards": {"audit": "refuse"}}}, False),
        ({"texts": '{"text": "Hello."}'}, False),
        ({"run": {"reward": {"batch_size": 8}}}, True),
        ({"run": {"codec": "other/codec"}}, True),
        ({"run": {"data": {"language": "de"}}}, True),
        ({"run": {"guards": {"prosody_share": 0.5}}}, True),
        ({"s3": {"endpoint": "https://s3.example.org"}}, True),
        ({"huggingface": {"offline": True}}, True),
        ({"proxy": {"https": "http://proxy:3128"}}, True),
    ],
    ids=str,
)
def test_replicas_are_replaced_when_what_they_read_changes(
    values: dict[str, Any], replaced: bool
) -> None:
    def template(given: dict[str, Any]) -> Manifest:
        return find(render(given), "Deployment", "ttsrl-reward")["spec"]["template"]

    assert (template(values) != template({})) is replaced


@pytest.mark.parametrize(
    ("reward", "seconds"),
    [
        ({}, 10 * 180 + 900),
        ({"minReadySeconds": 30, "probes": {"startup": {"initialDelaySeconds": 60}}}, 2790),
        ({"progressDeadlineSeconds": 3600}, 3600),
    ],
)
def test_an_upgrade_does_not_fail_before_a_replica_may_have_started(
    reward: dict[str, Any], seconds: int
) -> None:
    spec = find(render({"reward": reward}), "Deployment", "ttsrl-reward")["spec"]
    assert spec["progressDeadlineSeconds"] == seconds


@pytest.mark.parametrize("release", ["true", "null", "y", "no", "e1"])
def test_a_release_may_be_called_what_yaml_takes_for_something_else(release: str) -> None:
    """Kubernetes refuses a label that is not text; `y` and `no` are booleans to it."""
    values = read_values(EVERYTHING) | {"fullnameOverride": release, "extraObjects": []}
    manifests = render(values, release=release, namespace="2024", apis=EVERY_API)
    for manifest in manifests:
        if manifest["kind"] not in OPERATORS_KINDS:
            kubernetes_validate.validate(manifest, KUBE_VERSION, strict=True)
        assert manifest["metadata"].get("namespace", "") in ("2024", "monitoring", "")
        labels = manifest["metadata"].get("labels", {"app.kubernetes.io/instance": release})
        assert labels["app.kubernetes.io/instance"] == release
    replacements = [
        one["replacement"]
        for manifest in manifests
        for part in ("endpoints", "podMetricsEndpoints")
        for endpoint in manifest.get("spec", {}).get(part, [])
        for one in endpoint["relabelings"]
        if "replacement" in one
    ]
    assert replacements == [release, release]


def test_secrets_and_claims_may_have_a_number_as_their_name() -> None:
    values = {
        "token": {"existingSecret": "1"},
        "s3": {"existingSecret": "2"},
        "huggingface": {"existingSecret": "3"},
        "models": {"existingClaim": "4"},
        "serviceAccounts": {"reward": {"create": False, "name": "5"}},
    }
    manifests = render(values)
    for manifest in manifests:
        kubernetes_validate.validate(manifest, KUBE_VERSION, strict=True)
    pod = find(manifests, "Deployment", "ttsrl-reward")["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "5"
    claims = [
        v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if v["name"] == "models"
    ]
    assert claims == ["4"]


def test_the_models_stay_when_a_release_goes_unless_the_values_say_otherwise() -> None:
    def annotations(models: dict[str, Any]) -> dict[str, str]:
        claim = find(render({"models": models}), "PersistentVolumeClaim", "ttsrl-models")
        return claim["metadata"].get("annotations", {})

    assert annotations({}) == {"helm.sh/resource-policy": "keep"}
    assert annotations({"annotations": {"a": "b"}})["helm.sh/resource-policy"] == "keep"
    assert annotations({"keep": False}) == {}


def test_a_service_takes_the_families_of_addresses_that_the_values_name() -> None:
    service = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    spec = find(render({"reward": {"service": service}}), "Service", "ttsrl-reward")["spec"]
    assert {key: spec[key] for key in service} == service
    assert not service.keys() & find(render(), "Service", "ttsrl-reward")["spec"].keys()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user that no file names")
def test_a_user_without_a_name_gets_one_from_the_environment() -> None:
    """OpenShift's user ids are random; torch's compiler asks getpass who it is."""
    given = find(render(), "ConfigMap", "ttsrl-env")["data"]
    asked = subprocess.run(
        ["/usr/bin/env", "python3", "-c", "import getpass; print(getpass.getuser())"],
        env={"PATH": "/usr/bin:/bin", "USER": given["USER"]},
        user=1_234_567_890,
        stdout=subprocess.PIPE,
        check=True,
    )
    assert asked.stdout == b"ttsrl\n"


COMPILERS = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "VLLM_CACHE_ROOT")


def test_what_is_compiled_is_kept_beside_the_models_unless_pods_may_only_read_there() -> None:
    def folders(**values: Any) -> set[Path]:
        given = find(render(values), "ConfigMap", "ttsrl-env")["data"]
        return {Path(given[name]).parent for name in COMPILERS}

    assert folders() == {Path("/models/compiled")}
    assert folders(models={"keepCompiled": False}) == {Path("/tmp/compiled")}


def test_a_pod_without_the_models_keeps_what_is_compiled_in_a_folder_of_its_own() -> None:
    """Its root is read-only, so that it could not make the folder of the others."""
    files = [file.read_text() for file in (ROOT / "jobs").rglob("*.yaml")]
    jobs = [job for file in files for job in yaml.safe_load_all(file) if job and "kind" in job]
    merging = 0
    for _, pod in pod_specs(jobs):
        for container in (*pod.get("containers", []), *pod.get("initContainers", [])):
            mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
            if "/models" in mounted or "ttsrl-env" not in str(container.get("envFrom")):
                continue
            if "check" in container.get(
                "command", []
            ):  # without a model there is nothing to compile
                continue
            own = {one["name"]: one.get("value", "") for one in container["env"]}
            assert all(own[name].startswith("/tmp/") for name in COMPILERS)
            merging += "merge" in container["name"]
    assert merging


def test_the_reward_service_is_woken_from_zero_by_a_pod_that_will_ask_it() -> None:
    def scaled(least: int) -> Manifest:
        scaling = {"minReplicas": least, "keda": {"enabled": True}}
        manifests = render({"reward": {"autoscaling": scaling}}, release="true", apis=EVERY_API)
        return find(manifests, "ScaledObject", "true-ttsrl-reward")["spec"]

    queue, askers = scaled(0)["triggers"]
    assert scaled(0)["minReplicaCount"] == 0 and scaled(0)["cooldownPeriod"] == 300
    assert queue["metadata"]["query"].endswith("or vector(0)")
    assert askers["type"] == "kubernetes-workload"
    assert askers["metadata"]["podSelector"] == (
        "app.kubernetes.io/name=ttsrl,app.kubernetes.io/instance=true,"
        "app.kubernetes.io/component in (train,test)"
    )
    [alone] = scaled(1)["triggers"]
    assert "vector" not in alone["metadata"]["query"] and "cooldownPeriod" not in scaled(1)


def test_pods_reach_what_they_need_and_never_the_node_s_metadata() -> None:
    values = {
        "networkPolicy": {"egress": {"enabled": True, "to": [{"ports": [{"port": 3128}]}]}},
        "s3": {"endpoint": "http://minio.storage:9000"},
    }
    spec = find(render(values), "NetworkPolicy", "ttsrl-egress")["spec"]
    kubernetes_validate.validate(
        find(render(values), "NetworkPolicy", "ttsrl-egress"), KUBE_VERSION, strict=True
    )
    assert spec["policyTypes"] == ["Egress"]
    labels = {"app.kubernetes.io/name": "ttsrl", "app.kubernetes.io/instance": "ttsrl"}
    assert spec["podSelector"]["matchLabels"] == labels
    own, dns, outside, more = spec["egress"]
    assert own == {"to": [{"podSelector": {"matchLabels": labels}}]}
    assert {(one["port"], one["protocol"]) for one in dns["ports"]} == {(53, "UDP"), (53, "TCP")}
    assert [one["port"] for one in outside["ports"]] == [443, 9000]
    assert [one["ipBlock"] for one in outside["to"]] == [
        {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]},
        {"cidr": "::/0", "except": ["fd00:ec2::254/128"]},
    ]
    assert more == {"ports": [{"port": 3128}]}
    assert not [one for one in render() if one["metadata"]["name"] == "ttsrl-egress"]


def test_no_request_to_the_release_itself_goes_through_a_proxy() -> None:
    proxy = {"https": "http://proxy:3128", "exceptions": ["10.0.0.0/8"]}
    manifests = render({"proxy": proxy}, release="news", namespace="tts")
    environment = find(manifests, "ConfigMap", "news-ttsrl-env")["data"]
    assert environment["HTTPS_PROXY"] == environment["https_proxy"] == "http://proxy:3128"
    assert "HTTP_PROXY" not in environment
    for name in ("NO_PROXY", "no_proxy"):
        assert {"news-ttsrl-reward.tts", ".svc", "127.0.0.1", "10.0.0.0/8"} <= set(
            environment[name].split(",")
        )
    assert "NO_PROXY" not in find(render(), "ConfigMap", "ttsrl-env")["data"]


def test_labels_of_users_never_replace_those_that_selectors_need() -> None:
    labels = {"app.kubernetes.io/instance": "mine", "team": "speech"}
    manifests = render({"commonLabels": labels, "reward": {"podLabels": labels}})
    for manifest in manifests:
        assert manifest["metadata"]["labels"]["app.kubernetes.io/instance"] == "ttsrl"
        assert manifest["metadata"]["labels"]["team"] == "speech"


def test_nothing_optional_leaves_the_least() -> None:
    kinds = [m["kind"] for m in render(read_values(NOTHING), apis=EVERY_API)]
    assert sorted(set(kinds)) == ["ConfigMap", "Deployment", "Pod", "Service"]
    assert (kinds.count("ConfigMap"), kinds.count("Pod")) == (3, 3)  # run, environment, jobs


def test_a_release_without_its_own_rewards_has_none_of_their_parts() -> None:
    values = {"reward": {"enabled": False}, "run": {"reward": {"url": "http://rewards:3000"}}}
    manifests = render(values, apis=EVERY_API)
    assert "Deployment" not in {m["kind"] for m in manifests}
    assert {m["metadata"]["name"] for m in manifests if m["kind"] == "NetworkPolicy"} == {
        "ttsrl-closed",
        "ttsrl-train",
    }
    assert run_of(manifests)["reward"]["url"] == "http://rewards:3000"


def placement(reward: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Affinity of the reward's pods, and what they are spread over."""
    deployment = find(render({"reward": reward}), "Deployment", "ttsrl-reward")
    pod = deployment["spec"]["template"]["spec"]
    return pod["affinity"], [c["topologyKey"] for c in pod["topologySpreadConstraints"]]


def test_replicas_keep_apart_on_nodes_that_have_no_zone_too() -> None:
    """The scheduler scores no spread on a node that lacks one of its constraints' labels."""
    affinity, spread = placement({"gpu": {"products": ["NVIDIA-RTX-A6000"]}})
    assert spread == ["kubernetes.io/hostname"]
    assert affinity.keys() == {"nodeAffinity", "podAntiAffinity"}
    [term] = affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert term["podAffinityTerm"]["topologyKey"] == "topology.kubernetes.io/zone"


def test_ones_own_placement_takes_the_place_of_the_chart_s() -> None:
    own = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "rack"}]}
    affinity, _ = placement({"affinity": {"podAntiAffinity": own}})
    assert affinity == {"podAntiAffinity": own}
    node = {"preferredDuringSchedulingIgnoredDuringExecution": []}
    affinity, spread = placement(
        {
            "affinity": {"nodeAffinity": node},
            "topologySpreadConstraints": [{"topologyKey": "rack", "maxSkew": 1}],
        }
    )
    assert (affinity, spread) == ({"nodeAffinity": node}, ["rack"])
