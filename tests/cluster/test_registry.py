"""The chart as releases publish it: packaged, signed, pushed to an OCI registry, installed from it.

The registry is a real one that keeps what it has in memory, without TLS.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import TINY, Bucket, ClusterUnderTest, Namespace
from testbed import tools
from testbed.processes import run
from tools.chart import package, sign
from tools.push_chart import push
from tools.version import current_version

IMAGES = "docker.io/library"
"""Where containerd has the images of the testbed."""
PLAIN = "--plain-http"


@dataclass(frozen=True)
class Key:
    """A key that lives as long as its test."""

    identity: str
    secret: Path
    public: Path


def key(identity: str, folder: Path) -> Key:
    home = folder / identity
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", home, "--batch", "--quiet", "--passphrase", "")
    run(*gpg, "--quick-generate-key", identity, "rsa3072", "sign", "never")
    secret, public = folder / f"{identity}-secret.gpg", folder / f"{identity}-public.gpg"
    run(*gpg, "--pinentry-mode", "loopback", "--output", secret, "--export-secret-keys")
    run(*gpg, "--output", public, "--export")
    run("gpgconf", "--homedir", home, "--kill", "all")
    return Key(identity, secret, public)


@pytest.fixture
def registry(cluster: ClusterUnderTest) -> Iterator[str]:
    """Its address."""
    cluster.require_full()
    cluster.require_testbed("images of the chart's registry")
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed: apt install gpg")
    serving = subprocess.Popen(
        [tools.binary("registry"), "-port", "0"], stderr=subprocess.PIPE, text=True
    )
    assert serving.stderr
    port = re.search(r"serving on port (\d+)", serving.stderr.readline())
    assert port
    yield f"127.0.0.1:{port[1]}"
    serving.kill()
    serving.wait()


def test_a_signed_chart_is_pushed_pulled_verified_and_installed(
    registry: str, namespace: Namespace, bucket: Bucket, tmp_path: Path
) -> None:
    ours, other = key("release", tmp_path), key("other", tmp_path)
    dist, version = tmp_path / "dist", current_version()
    packed = package(dist, IMAGES)
    assert sign(packed, ours.identity, ours.secret) == Path(f"{packed}.prov")
    helm = tools.binary("helm")
    pushed = push(dist, f"{registry}/charts", PLAIN, helm=helm)
    assert re.fullmatch(rf"{re.escape(registry)}/charts/ttsrl@sha256:[0-9a-f]{{64}}", pushed)

    chart = f"oci://{registry}/charts/ttsrl"
    pull = ("pull", chart, "--version", version, PLAIN, "--destination", tmp_path, "--verify")
    refused = namespace.helm(*pull, "--keyring", other.public, check=False)
    assert "signature made by unknown entity" in refused
    (tmp_path / packed.name).unlink()  # what Helm does not trust it leaves all the same
    assert ours.identity in namespace.helm(*pull, "--keyring", ours.public)
    assert (tmp_path / packed.name).read_bytes() == packed.read_bytes()

    namespace.releases.append("ttsrl")
    given = ("--version", version, PLAIN, "--verify", "--keyring", ours.public)
    wait = ("-f", TINY, *bucket.values, "--wait", "--timeout", "5m")
    namespace.helm("install", "ttsrl", chart, *given, *wait)
    [pod] = namespace.list("pods", "app.kubernetes.io/component=reward")
    [container] = pod["spec"]["containers"]
    assert container["image"] == f"{IMAGES}/ttsrl-reward:{version}"
    assert "Succeeded" in namespace.helm("test", "ttsrl")


def test_the_script_of_the_release_says_what_is_amiss(tmp_path: Path) -> None:
    """As the workflow calls it: without a chart, and where nothing answers."""
    helm = {**os.environ, "PATH": f"{tools.binary('helm').parent}:{os.environ['PATH']}"}

    def said(*arguments: str) -> str:
        command = ["python3", "-m", "tools.push_chart", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=helm)
        assert done.returncode == 1
        return done.stderr

    assert "has 0 charts, not 1" in said(str(tmp_path), "127.0.0.1:1/charts")
    package(tmp_path)
    assert "connection refused" in said(str(tmp_path), "127.0.0.1:1/charts", PLAIN)
