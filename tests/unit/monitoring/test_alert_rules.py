"""Each alert of the chart fires when it should and keeps quiet when it should, by promtool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.helm_chart import EVERY_API, render
from support.paths import ROOT
from support.prometheus_server import program, release_rules

CASES: dict[str, list[dict[str, Any]]] = yaml.load(
    Path(__file__).with_name("rule_cases.yaml").read_text(),
    yaml.BaseLoader,  # all is text: 0x20 is a series of zeros, and no number
)
RULES = [
    rule
    for group in yaml.safe_load((ROOT / "helm/rules/ttsrl.yaml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}


def with_release(series: str) -> str:
    """A series with the labels that every series of the release has."""
    name, _, labels = series.rstrip("}").partition("{")
    given = [label for label in labels.split(",") if label]
    if not any(label.startswith("release=") for label in given):
        given.append('release="ttsrl"')
    labels = ",".join([*given, 'namespace="speech"'])
    return f"{name}{{{labels}}}"


@pytest.mark.parametrize(
    ("alert", "case"),
    [(alert, case) for alert, cases in CASES.items() for case in cases],
    ids=[f"{alert}: {case['case']}" for alert, cases in CASES.items() for case in cases],
)
def test_an_alert_fires_when_it_should_and_only_then(
    tmp_path: Path, alert: str, case: dict[str, Any]
) -> None:
    count = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})'
    firing = [{"labels": "{}", "value": 1}] if case["fires"] == "true" else []
    question = {
        "rule_files": [str(release_rules(tmp_path, "speech", "ttsrl"))],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": with_release(series), "values": values}
                    for series, values in case["series"].items()
                ],
                "promql_expr_test": [
                    {"expr": count, "eval_time": case["at"], "exp_samples": firing}
                ],
            }
        ],
    }
    file = tmp_path / "question.yaml"
    file.write_text(yaml.safe_dump(question))
    answer = subprocess.run(
        [program("promtool"), "test", "rules", str(file)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    rules = release_rules(tmp_path, "speech", "ttsrl")
    answer = subprocess.run(
        [program("promtool"), "check", "rules", "--lint-fatal", str(rules)],
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    assert CASES.keys() == ALERTS.keys()
    for alert, cases in CASES.items():
        assert {case["fires"] for case in cases} == {"true", "false"}, alert


def test_every_alert_says_what_is_wrong_and_leads_to_its_section_of_the_runbook() -> None:
    runbook = (ROOT / "docs/troubleshooting.md").read_text()
    sections = {heading.lower() for heading in re.findall(r"^### (\w+)$", runbook, re.MULTILINE)}
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("warning", "critical"), name
        assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"] == f"@runbook@#{name.lower()}"
        assert name.lower() in sections, f"docs/troubleshooting.md has no section {name}"


def test_a_rule_looks_at_no_other_release() -> None:
    for rule in RULES:
        selectors = re.findall(r"\{[^{}]*\}", rule["expr"])
        assert selectors or rule["expr"].startswith("vector("), rule
        for selector in selectors:
            assert re.search(r'namespace="@namespace@",(\w+)=~?"', selector), rule
            assert re.search("@(release|fullname|modelsClaim)@", selector), rule


def test_thresholds_prices_and_single_alerts_are_values() -> None:
    rules = {
        "thresholds": {"errorShare": 0.25, "sloSeconds": "60.0"},
        "pricePerGpuHour": {"train": 3.5},
        "alerts": {
            "TtsrlGpusIdle": {"enabled": False},
            "TtsrlRewardDown": {"for": "45m", "labels": {"severity": "warning", "team": "tts"}},
        },
    }
    manifests = render({"metrics": {"prometheusRule": rules}}, apis=EVERY_API)
    [rule] = [one for one in manifests if one["kind"] == "PrometheusRule"]
    found = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    alerts = {one["alert"]: one for one in found if "alert" in one}
    assert alerts.keys() == ALERTS.keys() - {"TtsrlGpusIdle"}
    assert alerts["TtsrlRewardErrors"]["expr"].endswith("> 0.25")
    down = alerts["TtsrlRewardDown"]
    assert (down["for"], down["labels"]["severity"]) == ("45m", "warning")
    assert down["labels"]["team"] == "tts" and down["labels"]["release"] == "ttsrl"
    prices = {
        one["labels"]["component"]: one["expr"]
        for one in found
        if one.get("record") == "ttsrl:gpu_price:info"
    }
    assert prices["train"] == "vector(3.5)" and prices["reward"] == "vector(0)"
    assert 'le="60.0"' in yaml.safe_dump(found, width=10_000)


def test_gpus_and_their_price_are_recorded_by_pool(tmp_path: Path) -> None:
    held = "kube_pod_container_resource_requests"
    running = "kube_pod_status_phase"
    busy, apart = "DCGM_FI_DEV_GPU_UTIL", 'exported_namespace="speech",exported_pod'
    series = {
        f'{held}{{namespace="speech",pod="ttsrl-train-worker-1",resource="nvidia_com_gpu"}}': "4x9",
        f'{held}{{namespace="speech",pod="ttsrl-reward-5d-x",resource="amd_com_gpu"}}': "1x9",
        f'{held}{{namespace="speech",pod="ttsrl-reward-5d-x",resource="cpu"}}': "8x9",
        f'{held}{{namespace="other",pod="ttsrl-reward-5d-x",resource="nvidia_com_gpu"}}': "8x9",
        f'{running}{{namespace="speech",pod="ttsrl-train-worker-1",phase="Running"}}': "1x9",
        f'{running}{{namespace="speech",pod="ttsrl-reward-5d-x",phase="Running"}}': "1x9",
        f'{running}{{namespace="other",pod="ttsrl-reward-5d-x",phase="Running"}}': "1x9",
        f'{busy}{{namespace="speech",pod="ttsrl-follow-x",gpu="0"}}': "60x9",
        f'{busy}{{namespace="speech",pod="ttsrl-train-worker-1",gpu="1"}}': "90x9",
        f'{busy}{{namespace="speech",pod="ttsrl-train-worker-1",gpu="2"}}': "30x9",
        f'{busy}{{namespace="dcgm",pod="d",{apart}="ttsrl-reward-5d-x",gpu="3"}}': "50x9",
        f'{busy}{{namespace="other",pod="ttsrl-reward-5d-x",gpu="4"}}': "90x9",
    }
    labels = 'namespace="speech", release="ttsrl"'
    expected = [
        {"labels": f'{{component="reward", {labels}}}', "value": 1},
        {"labels": f'{{component="train", {labels}}}', "value": 4},
    ]
    utilised = [
        {"labels": f'{{component="{name}", {labels}}}', "value": value}
        for name, value in (("follow", 0.6), ("reward", 0.5), ("train", 1.2))
    ]
    question = {
        "rule_files": [str(release_rules(tmp_path, "speech", "ttsrl"))],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": k, "values": v} for k, v in series.items()],
                "promql_expr_test": [
                    {
                        "expr": f"sum by (namespace, release, component) (ttsrl:{name}:sum)",
                        "eval_time": "5m",
                        "exp_samples": samples,
                    }
                    for name, samples in (("gpus_held", expected), ("gpus_busy", utilised))
                ],
            }
        ],
    }
    file = tmp_path / "question.yaml"
    file.write_text(yaml.safe_dump(question))
    answer = subprocess.run(
        [program("promtool"), "test", "rules", str(file)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
