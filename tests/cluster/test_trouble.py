"""One run, and all that can be lost while it trains: each in turn, and no step or score with it."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
import socket
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from harness import Bucket, ClusterUnderTest, Namespace, make_bucket, manifests, on_cpus
from support.mlflow_server import free_port
from test_whole_job import ended, install, rayjob
from testbed import operators, s3
from testbed.paths import REPOSITORY
from testbed.processes import stop, wait
from ttsrl.client.reward_client import score_blocking
from ttsrl.reward.config import RewardConfig
from ttsrl.wire import Ok, Utterance

STEPS, SAVE_EVERY = 12, 3
LOST_PODS = 2


@dataclass(frozen=True)
class Servers:
    """S3 and Prometheus of a namespace's own: to stop those of all would stop other tests, too."""

    s3: s3.Gateway
    prometheus: str


@pytest.fixture
def servers(cluster: ClusterUnderTest, namespace: Namespace) -> Iterator[Servers | None]:
    if not cluster.is_testbed:
        yield None
        return
    own = Servers(s3.Gateway(f"s3-{namespace.name}", free_port()), f"prometheus-{namespace.name}")
    own.s3.up()
    wait("the S3 server's start", lambda: is_listening(own.s3.endpoint), 60, own.s3.name)
    operators.prometheus(own.prometheus, free_port(), namespace.name)
    yield own
    stop(own.prometheus)
    own.s3.stop()


@pytest.fixture
def bucket(namespace: Namespace, servers: Servers | None) -> Bucket:
    return make_bucket(namespace, servers.s3) if servers else make_bucket(namespace)


@pytest.mark.timeout(3600)
def test_no_step_and_no_score_is_lost_with_pods_s3_keys_and_prometheus(
    namespace: Namespace, servers: Servers | None, bucket: Bucket, tmp_path: Path
) -> None:
    """Reward pod, Prometheus, S3 server, keys of the bucket, a Ray worker, the Ray head."""
    namespace.cluster.require_full()
    namespace.cluster.require_api("rayjobs.ray.io")
    run = f"run.train.steps={STEPS},run.train.save_every={SAVE_EVERY}"
    install(namespace, bucket, "--set", run)
    namespace.apply(on_cpus(manifests(REPOSITORY / "jobs/train")))

    until_published(namespace, bucket, SAVE_EVERY)
    kill(namespace, "app.kubernetes.io/component=reward")
    if servers:
        stop(servers.prometheus)
        servers.s3.stop()
        time.sleep(10)
        servers.s3.up()
        bucket = rotated(namespace, bucket, servers.s3)
        until_published(namespace, bucket, 2 * SAVE_EVERY)

    kill(namespace, f"ray.io/cluster={cluster_of(namespace)},ray.io/node-type=worker")
    until_published(namespace, bucket, 3 * SAVE_EVERY)
    lost = cluster_of(namespace)
    kill(namespace, f"ray.io/cluster={lost},ray.io/node-type=head")
    killed_s = time.time()

    end = namespace.until("the end of training", lambda: ended(namespace), 2400)
    status = rayjob(namespace)
    assert (end, status["jobStatus"]) == ("Complete", "SUCCEEDED"), namespace.describe()
    # An outage of S3 that outlasts all attempts of an upload is an attempt more.
    assert status["failed"] - LOST_PODS in (0, 1)
    assert status["rayClusterName"] != lost
    left = f"ray.io/cluster={lost}"
    namespace.until("the lost cluster's end", lambda: not namespace.list("pods", left), 180)

    steps = [json.loads(line) for line in bucket.read("runs/ttsrl/log/steps.jsonl").splitlines()]
    assert [step["step"] for step in steps] == list(range(1, STEPS + 1))
    published = [step for step in steps if step["step"] <= 3 * SAVE_EVERY]
    assert all(step["ended_at_s"] < killed_s for step in published)  # and not trained again
    assert all(step["failed_share"] == 0 for step in steps)

    token = tmp_path / "token"
    with reward_of(namespace, token) as reward:
        assert_rewards_are_those_of_a_service_at_rest(reward, bucket)


def assert_rewards_are_those_of_a_service_at_rest(reward: RewardConfig, bucket: Bucket) -> None:
    """The rollouts that every step logs, scored again."""
    [name] = [
        name
        for name in bucket.object_names(f"runs/ttsrl/checkpoints/step_{STEPS:06d}/")
        if name.endswith("rollouts.jsonl")
    ]
    rollouts = [json.loads(line) for line in bucket.read(name).splitlines()]
    rollouts = [rollout for rollout in rollouts if rollout["kind"] != "gated"]
    assert {rollout["step"] for rollout in rollouts} == set(range(1, STEPS + 1))
    utterances = [Utterance(text=r["text"], speech_tokens=r["speech_tokens"]) for r in rollouts]
    for rollout, outcome in zip(rollouts, score_blocking(reward, utterances), strict=True):
        assert isinstance(outcome, Ok)
        assert outcome.reward == pytest.approx(rollout["reward"], abs=1e-5)


def until_published(namespace: Namespace, bucket: Bucket, step: int) -> None:
    name = f"runs/ttsrl/checkpoints/step_{step:06d}/MANIFEST.json"
    namespace.until(
        f"checkpoint {step}", lambda: ended(namespace) or bucket.object_names(name), 900
    )
    assert not ended(namespace), namespace.describe()


def kill(namespace: Namespace, selector: str) -> None:
    assert namespace.list("pods", selector)
    namespace.kubectl("delete", "pod", "-l", selector, "--grace-period=0", "--force")


def cluster_of(namespace: Namespace) -> str:
    """Of the attempt that runs; between two there is none."""
    name = namespace.until(
        "the RayJob's cluster", lambda: rayjob(namespace).get("rayClusterName"), 300
    )
    return str(name)


def rotated(namespace: Namespace, bucket: Bucket, server: s3.Gateway) -> Bucket:
    """The bucket with other keys; the old ones are refused."""
    new = dataclasses.replace(bucket, secret=secrets.token_urlsafe(24))
    namespace.apply([new.secret_manifest()])
    server.admin("update-user", "--access", bucket.access, "--secret", new.secret)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        bucket.object_names()
    return new


def is_listening(url: str) -> bool:
    try:
        socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def reward_of(namespace: Namespace, token: Path) -> Generator[RewardConfig]:
    """How this machine reaches the release's reward service; its token goes to that file."""
    secret = namespace.existing("secret", "ttsrl-token")["data"]["token"]
    token.write_bytes(base64.b64decode(secret))
    run = json.loads(namespace.existing("configmap", "ttsrl-run")["data"]["run.json"])
    with namespace.forwarded("service/ttsrl-reward", 3000) as url:
        yield RewardConfig.model_validate({**run["reward"], "url": url, "token_file": str(token)})
