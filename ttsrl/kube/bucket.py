"""Whether a release's bucket is there, asked from this machine with the release's own keys."""

from __future__ import annotations

import os
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from typing import Any, cast

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ttsrl.errors import BadInput
from ttsrl.kube.release import Release
from ttsrl.runtime.doctor import Check
from ttsrl.storage.s3_answers import NotS3Error, watch
from ttsrl.storage.s3_errors import explain

WHAT = "storage"
INSIDE = "`helm test` asks from within the cluster"
TIMEOUT_S = 5.0
NEEDED = ("aws_access_key_id", "aws_secret_access_key")


def look_at(release: Release, credentials: str | None) -> Check:
    """`credentials` is the text of the release's Secret; None where it has none, or hides it.

    A server that only pods can reach is not an error; it is noted.
    """
    storage = release.run.storage
    if credentials is None:
        return Check(WHAT, "note", f"{storage}: no keys to ask it with", INSIDE)
    there = {**os.environ, **release.storage_environment(os.environ)}
    endpoint = there.get("AWS_ENDPOINT_URL_S3") or there.get("AWS_ENDPOINT_URL")
    bucket, _, prefix = storage.removeprefix("s3://").partition("/")
    try:
        keys = _keys(credentials)
        if lacking := [name for name in NEEDED if name not in keys]:
            found = f"its keys lack {' and '.join(lacking)} in the profile [default]"
            return Check(WHAT, "bad", found, "write them as AWS does")
        client: Any = (
            cast(Any, boto3.session)
            .Session(**keys)
            .client(
                "s3",
                endpoint_url=endpoint,
                region_name=there.get("AWS_REGION") or "us-east-1",
                config=Config(
                    connect_timeout=TIMEOUT_S,
                    read_timeout=TIMEOUT_S,
                    retries={"total_max_attempts": 1},
                    s3={"addressing_style": "path"},
                ),
            )
        )
        watch(client)
        client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except NotS3Error as error:
        found = f"{endpoint} is not an S3 endpoint: it answered {error}"
        return Check(WHAT, "bad", found, error.hint)
    except ClientError as error:
        said = explain(error, storage, endpoint or "AWS", attempts=1)
        return Check(WHAT, "bad" if isinstance(said, BadInput) else "note", str(said), INSIDE)
    except (BotoCoreError, ValueError) as error:
        found = f"{endpoint or 'AWS'} does not answer this machine ({type(error).__name__})"
        return Check(WHAT, "note", found, INSIDE)
    except ConfigParserError as error:
        return Check(WHAT, "bad", f"its keys cannot be read: {error}", "write them as AWS does")
    return Check(WHAT, "ok", f"{storage} answers")


def _keys(credentials: str) -> dict[str, str]:
    parser = ConfigParser()
    parser.read_string(credentials)
    profile = parser["default"] if parser.has_section("default") else {}
    return {name: profile[name] for name in (*NEEDED, "aws_session_token") if name in profile}
