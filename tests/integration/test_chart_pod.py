"""What the chart's Deployment promises about the service that it starts."""

from __future__ import annotations

import re

import httpx
import yaml

from support.helm_chart import CHART, EVERY_API, find, read_values, render
from support.reward_server import SMALL_BATCHES, TTSRL, StartRewards, metrics


def test_the_deployment_s_command_and_probes_are_those_of_the_service(
    start_reward_service: StartRewards,
) -> None:
    values = read_values(CHART / "ci/tiny-values.yaml")
    values["reward"]["autoscaling"] = {"keda": {"enabled": True}}
    manifests = render(values, apis=EVERY_API)
    pod = find(manifests, "Deployment", "ttsrl-reward")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][0] == "ttsrl"
    here = {"/etc/ttsrl/run.json": "{config}", "3000": "{port}"}
    command = [*TTSRL, *(here.get(word, word) for word in container["command"][1:])]
    assert {"{config}", "{port}"} <= {*command}

    server = start_reward_service(SMALL_BATCHES, command=command)
    live, startup, ready = (
        f"{server.url}{container[probe]['httpGet']['path']}"
        for probe in ("livenessProbe", "startupProbe", "readinessProbe")
    )

    server.wait_ready()
    assert [httpx.get(url).status_code for url in (live, startup, ready)] == [200, 200, 200]

    monitor = find(manifests, "ServiceMonitor", "ttsrl-reward")["spec"]["endpoints"][0]
    assert httpx.get(f"{server.url}{monitor['path']}").status_code == 200
    query = yaml.safe_dump(find(manifests, "ScaledObject", "ttsrl-reward")["spec"]["triggers"])
    asked = set(re.findall(r"\bttsrl_reward_\w+", query))
    assert asked and asked <= {name.partition("{")[0] for name in metrics(server)}
