"""A real Prometheus, and the program that tests its rules."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from support.helm_chart import EVERY_API, render
from support.reward_server import free_port

INSTALL = "apt-get install --no-install-recommends prometheus"


def program(name: str) -> str:
    """Where prometheus or promtool is; the test is skipped where it is not."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is missing: {INSTALL}")
    return found


def release_rules(folder: Path, namespace: str, release: str) -> Path:
    """The chart's rules as they are installed for a release."""
    manifests = render({}, release=release, namespace=namespace, apis=EVERY_API)
    [rule] = [one for one in manifests if one["kind"] == "PrometheusRule"]
    rules = folder / "ttsrl.rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": rule["spec"]["groups"]}))
    return rules


@contextmanager
def prometheus(
    folder: Path, targets: Sequence[Mapping[str, Any]], rules: Path
) -> Generator[httpx.Client]:
    """A Prometheus that scrapes `scrape_configs` every second, ready for queries."""
    port = free_port()
    every_s = "1s"
    config = folder / "prometheus.yml"
    config.write_text(
        json.dumps(  # JSON is YAML
            {
                "global": {"scrape_interval": every_s, "evaluation_interval": every_s},
                "rule_files": [str(rules)],
                "scrape_configs": list(targets),
            }
        )
    )
    log = folder / "prometheus.log"
    process = subprocess.Popen(
        [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        ],
        stdout=log.open("wb"),
        stderr=subprocess.STDOUT,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            _wait_ready(client, process, log)
            yield client
    finally:
        process.kill()
        process.wait()


def _wait_ready(client: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass  # its socket is not open yet
        time.sleep(0.05)
    pytest.fail(f"Prometheus did not become ready:\n{log.read_text()}")
