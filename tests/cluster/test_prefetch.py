"""A cluster without Hugging Face: a Job fills the claim of the models from the bucket.

The hub from which they are copied is one of this machine; the tiny stack's parts are its models.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from harness import TINY, Bucket, Namespace
from support.local_hub import environment_of, folder_content, local_hub
from test_submit import TTSRL
from testbed.paths import REPOSITORY

PARTS = ("policy", "codec", "whisper", "judge")
MODELS = {
    "run": {
        "model": "tiny/policy",
        "codec": "tiny/codec",
        "reward": {"whisper": {"model": "tiny/whisper"}},
        "eval": {"judges": [{"name": "judge", "type": "ctc", "model": "tiny/judge"}]},
    }
}


@pytest.mark.timeout(1200)
def test_the_claim_of_the_models_is_filled_from_the_bucket_and_the_rewards_wait_for_it(
    namespace: Namespace, bucket: Bucket, tmp_path: Path
) -> None:
    namespace.cluster.require_full()
    values, release = tmp_path / "values.yaml", tmp_path / "release.yaml"
    source = f"{bucket.url}/models"
    prefetch = {"prefetch": {"enabled": True, "from": source}, "huggingface": {"offline": True}}
    values.write_text(yaml.safe_dump({**MODELS, **prefetch}))
    given = ("-f", values, *bucket.values)
    release.write_text(namespace.helm("template", "ttsrl", REPOSITORY / "helm", "-f", TINY, *given))
    namespace.releases.append("ttsrl")
    namespace.helm("install", "ttsrl", REPOSITORY / "helm", "-f", TINY, *given)
    # Nothing is in the bucket yet: the Job ends, and says why; the service waits.
    selector = "app.kubernetes.io/component=prefetch"

    def said() -> str:
        return namespace.kubectl("logs", "-l", selector, check=False)

    namespace.until("a refusal", lambda: "is not a mirror of models" in said(), 300)
    copy(bucket, release, source, tmp_path)
    [job] = namespace.list("jobs", selector)
    namespace.kubectl("delete", "job", job["metadata"]["name"])
    namespace.helm("upgrade", "ttsrl", REPOSITORY / "helm", "-f", TINY, *given)
    ready = ("rollout", "status", "deployment/ttsrl-reward", "--timeout=300s")
    namespace.kubectl(*ready)
    assert "tiny/whisper: done" in said()
    assert "Succeeded" in namespace.helm("test", "ttsrl")


def copy(bucket: Bucket, release: Path, to: str, folder: Path) -> None:
    """`ttsrl mirror --models-to`, as on a machine with the internet."""
    credentials = folder / "credentials"
    credentials.write_text(bucket.credentials())
    with local_hub() as hub:
        for part in PARTS:
            hub.push(f"tiny/{part}", folder_content(REPOSITORY / "examples/tiny" / part))
        subprocess.run(
            [TTSRL, "mirror", release, "--models-to", to],
            env={
                **os.environ,
                **environment_of(hub, folder / "cache"),
                "AWS_ENDPOINT_URL": bucket.endpoint,
                "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
                "AWS_REGION": "us-east-1",
            },
            check=True,
        )
