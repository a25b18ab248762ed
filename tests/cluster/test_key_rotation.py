"""The keys of the bucket are changed while a run trains."""

from __future__ import annotations

import dataclasses
import secrets

import pytest
from bed import s3
from bed.paths import REPOSITORY
from botocore.exceptions import ClientError
from harness import Bucket, Namespace, manifests, on_cpus
from test_whole_job import ended, install, rayjob


@pytest.mark.timeout(1500)
def test_a_run_whose_keys_are_rotated_publishes_its_next_checkpoint_with_the_new_ones(
    namespace: Namespace, bucket: Bucket
):
    namespace.cluster.require_bed("S3 server, whose accounts can be administered")
    namespace.cluster.require_api("rayjobs.ray.io")
    install(namespace, bucket)
    namespace.apply(on_cpus(manifests(REPOSITORY / "jobs/train")))
    first = "runs/ttsrl/checkpoints/step_000004/MANIFEST.json"
    namespace.until("a checkpoint", lambda: ended(namespace) or bucket.object_names(first), 900)
    assert not ended(namespace), namespace.describe()

    rotated = dataclasses.replace(bucket, secret=secrets.token_urlsafe(24))
    namespace.apply([rotated.secret_manifest()])
    s3.admin("update-user", "--access", bucket.access, "--secret", rotated.secret)
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        bucket.object_names()

    end = namespace.until("the end of training", lambda: ended(namespace), 900)
    status = rayjob(namespace)
    assert (end, status["jobStatus"]) == ("Complete", "SUCCEEDED"), namespace.describe()
    assert rotated.object_names("runs/ttsrl/checkpoints/step_000008/MANIFEST.json")
