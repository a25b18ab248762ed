"""`ttsrl status --follow` while the real API server cannot be reached for more than a minute."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from harness import Namespace, users_environment
from tcp_proxy import TcpProxy
from test_submit import TTSRL, Cli, two_held
from testbed.paths import REPOSITORY

AWAY_S = 65.0
PRODUCT = "NVIDIA-L20"


@contextmanager
def proxied(kubeconfig: Path, copy: Path) -> Generator[TcpProxy]:
    """A way to the API server that can be cut, and the kubeconfig in `copy` that takes it."""
    config = yaml.safe_load(kubeconfig.read_text())
    [cluster] = config["clusters"]
    server = urlsplit(cluster["cluster"]["server"])
    with TcpProxy(server.hostname or "", server.port or 443) as proxy:
        cluster["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
        copy.write_text(yaml.safe_dump(config))
        yield proxy


@pytest.mark.timeout(900)
def test_a_job_is_followed_over_an_api_server_that_is_away_for_a_minute(
    namespace: Namespace, tmp_path: Path
) -> None:
    namespace.cluster.require_full()
    namespace.cluster.require_testbed("fake nodes")
    cli = Cli(namespace)
    config, said = tmp_path / "kubeconfig", tmp_path / "said"
    command = [TTSRL, "status", "--follow", "--namespace", namespace.name]
    with (
        two_held(namespace, PRODUCT) as nodes,
        proxied(namespace.cluster.kubeconfig, config) as proxy,
        said.open("w") as out,
    ):
        cli.done("submit")
        following = subprocess.Popen(
            command,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env=users_environment(KUBECONFIG=str(config)),
        )
        try:
            namespace.until("who holds GPUs", lambda: "are held by" in said.read_text(), 180)
            cut = time.monotonic()
            proxy.cut()
            namespace.until("a word of it", lambda: "does not answer" in said.read_text(), 120)
            namespace.kubectl("delete", "pod", *(f"holds-{node}" for node in nodes), "--now")
            time.sleep(max(0.0, cut + AWAY_S - time.monotonic()))
            assert following.poll() is None, said.read_text()
            proxy.restore()

            def after() -> str:
                return said.read_text().rpartition("does not answer")[2]

            namespace.until("what came next", lambda: "Ray cluster is starting" in after(), 240)
            cli.done("stop")
            assert following.wait(timeout=240) == 0
            assert "suspended by `ttsrl stop`" in after()
        finally:
            following.kill()
            following.wait()
