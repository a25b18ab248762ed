"""Two tenants in two namespaces: none reads the other's secrets, jobs, scores or bucket."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from harness import REWARD_NOWHERE, Bucket, Namespace
from load import pod_of

ASK_BOTH = """
import sys, httpx
token = open("/var/run/ttsrl/token/token").read().strip()
for url in sys.argv[1:]:
    headers = {"authorization": f"Bearer {token}"}
    print(httpx.post(f"{url}/v1/score", json={"utterances": []}, headers=headers).status_code)
"""


def may(namespace: Namespace, account: str, verb: str, what: str, where: Namespace) -> bool:
    """Whether an account of one namespace may do something in another."""
    who = f"--as=system:serviceaccount:{namespace.name}:{account}"
    return where.kubectl("auth", "can-i", verb, what, who, check=False).startswith("yes")


def test_no_account_of_a_release_reads_anything_and_a_submitter_only_its_own_namespace(
    namespace: Namespace, other_namespace: Namespace
) -> None:
    subject = "submitters[0].kind=ServiceAccount,submitters[0].name=person"
    for tenant in (namespace, other_namespace):
        allowed = ("--set", f"{subject},submitters[0].namespace={tenant.name}")
        tenant.install_without_waiting(*allowed, *REWARD_NOWHERE)
    for where in (namespace, other_namespace):
        for account in ("ttsrl-reward", "ttsrl-train", "ttsrl-jobs"):
            for what in ("secrets", "configmaps", "pods", "rayjobs.ray.io"):
                assert not may(namespace, account, "get", what, where), (account, what)
        assert not may(namespace, "person", "get", "secrets", where)
    for verb, what in (("create", "rayjobs.ray.io"), ("delete", "rayjobs.ray.io"), ("get", "pods")):
        assert may(namespace, "person", verb, what, namespace)
        assert not may(namespace, "person", verb, what, other_namespace)


def test_no_tenant_gets_scores_or_objects_of_the_other(
    namespace: Namespace, bucket: Bucket, other_namespace: Namespace, other_bucket: Bucket
) -> None:
    namespace.install(*bucket.values)
    other_namespace.install(*other_bucket.values)
    urls = [f"http://ttsrl-reward.{n.name}:3000" for n in (namespace, other_namespace)]
    namespace.apply([pod_of("ttsrl", "asks", "-c", ASK_BOTH, *urls)])
    ended = "--for=jsonpath={.status.phase}=Succeeded"
    namespace.kubectl("wait", "pod/asks", ended, "--timeout=120s")
    assert namespace.kubectl("logs", "asks").split() == ["200", "401"]

    if not namespace.cluster.is_testbed:
        pytest.skip("both tenants of this cluster have the keys of TTSRL_TEST_S3_ENDPOINT")
    other_bucket.client().put_object(Bucket=other_bucket.name, Key="mine", Body=b"1")
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.client().get_object(Bucket=other_bucket.name, Key="mine")
    with pytest.raises(ClientError, match="AccessDenied"):
        bucket.client().put_object(Bucket=other_bucket.name, Key="yours", Body=b"1")
