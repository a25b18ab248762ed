"""A cluster for the session, and a namespace, a bucket and a release for each test.

With KUBECONFIG set the tests run in that cluster, and skip by name what it cannot do. Without it
the testbed is brought up, and ended again unless it was up before. Where it cannot be made, the
session says why and fails.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import Bucket, ClusterUnderTest, Namespace, make_bucket
from testbed import cluster as testbed_cluster
from testbed import tools
from testbed.down import down
from testbed.node import require_machine
from testbed.paths import KUBECONFIG, TestbedError
from testbed.processes import alive

WAS_UP = pytest.StashKey[bool]()
SESSION, LABEL = "TTSRL_TEST_SESSION", "ttsrl.dev/test-session"
IS_UP = "TTSRL_CLUSTER_IS_UP"
"""Set where the testbed has just been brought up: to do so once more takes more than a minute."""


def pytest_sessionstart(session: pytest.Session) -> None:
    """Here, because no test's time limit should hold for builds."""
    if session.config.option.collectonly or is_worker(session):
        return
    os.environ[SESSION] = secrets.token_hex(4)
    group = os.environ.get("TTSRL_CLUSTER_GROUP", "scale")
    try:
        if os.environ.get("KUBECONFIG"):
            tools.build(("core",))  # for kubectl and helm
            return
        require_machine()
        session.config.stash[WAS_UP] = alive("kubelet")
        if not (os.environ.get(IS_UP) and alive("kubelet")):
            testbed_cluster.up(group)
    except TestbedError as error:
        pytest.exit(f"no cluster to test in: {error}", returncode=1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A limit for machines that have other work too; tests that train have their own."""
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if SESSION not in os.environ or is_worker(session):
        return
    named = os.environ.get("KUBECONFIG")
    try:
        left = left_behind(ClusterUnderTest(Path(named or KUBECONFIG), is_testbed=not named))
    except pytest.fail.Exception as error:  # a cluster that is gone: why tests failed is still told
        left = str(error)
    if left:
        print(f"\nnamespaces that do not go: {left}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if session.config.stash.get(WAS_UP, True) is False:
        down()


def is_worker(session: pytest.Session) -> bool:
    """Whether this is one of xdist's processes, which leave the testbed to the one above them."""
    return hasattr(session.config, "workerinput")


def left_behind(cluster: ClusterUnderTest) -> str:
    """Namespaces of this session that are still there when they had time to go."""
    mine = ("get", "namespaces", "-l", f"{LABEL}={os.environ[SESSION]}", "-o", "name")
    deadline = time.monotonic() + 300
    while (left := cluster.kubectl(*mine)) and time.monotonic() < deadline:
        time.sleep(1)
    return left


@pytest.fixture(scope="session")
def cluster() -> ClusterUnderTest:
    if named := os.environ.get("KUBECONFIG"):
        return ClusterUnderTest(Path(named), is_testbed=False)
    return ClusterUnderTest(KUBECONFIG, is_testbed=True)


@pytest.fixture
def namespace(cluster: ClusterUnderTest) -> Iterator[Namespace]:
    """A namespace that admits restricted pods alone; nothing of it is left behind."""
    yield from _namespace(cluster)


@pytest.fixture(scope="module")
def shared_namespace(cluster: ClusterUnderTest) -> Iterator[Namespace]:
    """One for a whole file of tests that create nothing, or nothing that others could meet."""
    yield from _namespace(cluster)


@pytest.fixture
def other_namespace(cluster: ClusterUnderTest) -> Iterator[Namespace]:
    """Another tenant's."""
    yield from _namespace(cluster)


@pytest.fixture
def bucket(namespace: Namespace) -> Bucket:
    """A bucket named like the namespace, whose Secret lies in the namespace as ttsrl-s3."""
    return make_bucket(namespace)


@pytest.fixture
def other_bucket(other_namespace: Namespace) -> Bucket:
    return make_bucket(other_namespace)


@pytest.fixture
def release(namespace: Namespace, bucket: Bucket) -> Namespace:
    """The namespace with a release `ttsrl` of the tiny stack in it, ready."""
    namespace.install(*bucket.values)
    return namespace


def _namespace(cluster: ClusterUnderTest) -> Iterator[Namespace]:
    name = f"ttsrl-test-{secrets.token_hex(3)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", LABEL: os.environ[SESSION]}
    namespace = Namespace(cluster, name)
    metadata = {"name": name, "labels": labels}
    namespace.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}])
    yield namespace
    for release in namespace.releases:
        namespace.helm("uninstall", release, "--ignore-not-found")
    cluster.kubectl("delete", "namespace", name, "--wait=false")  # `left_behind` waits for all
