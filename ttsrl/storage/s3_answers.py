"""Is it S3 that answers? A web server, a console or a proxy is told from it by its answers' form.

botocore takes what it does not understand for an answer: an HTML page is an object, a 404 of any
server is "no such key", and a redirect is followed until Python's stack is full.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

ROOTS = {
    "ListObjectsV2": b"<ListBucketResult",
    "CreateMultipartUpload": b"<UploadId",
}
"""Operation -> what the XML of its answer contains."""
WITH_ETAG = {"GetObject", "HeadObject", "PutObject", "UploadPart"}
PASSING = {408, 429, *range(500, 600)}
"""What botocore asks again for; a load balancer says so while its servers start."""


class NotS3Error(Exception):
    """An answer that no S3 server gives. The message says what came, as the end of a sentence."""

    def __init__(self, status: int, came: str, hint: str) -> None:
        super().__init__(came)
        self.status = status
        self.hint = hint
        """What it looks like, and the way out."""


def watch(client: Any) -> None:
    """Have a boto3 client of S3 raise NotS3Error for answers that are not S3's."""
    # Under this name it is called before botocore's own handler (before-parse.s3.*), which makes an
    # HTTP 500 of an HTML page.
    client.meta.events.register_first("before-parse.*.*", _check)


def _check(operation_model: Any, response_dict: Mapping[str, Any], **_: object) -> None:
    operation: str = operation_model.name
    status: int = response_dict["status_code"]
    headers: Mapping[str, str] = response_dict["headers"]
    body: object = response_dict["body"]
    content = body if isinstance(body, bytes) else b""
    if status in PASSING or (status == 304 and operation == "GetObject"):
        return
    if _is_s3(operation, status, headers, content):
        return
    kind = headers.get("Content-Type", "").partition(";")[0].strip()[:40]
    came = f"{operation} with HTTP {status}"
    if content:
        came += f" and {len(content)} bytes" + (f" of {kind}" if kind else "")
    raise NotS3Error(status, came, _hint(status, headers.get("Location"), content))


def _is_s3(operation: str, status: int, headers: Mapping[str, str], content: bytes) -> bool:
    if status < 300:
        if operation in ROOTS:
            return ROOTS[operation] in content or b"<Error" in content
        return operation not in WITH_ETAG or "ETag" in headers
    if b"<Error" in content:
        return True
    # An answer to HEAD has no body; a redirect of S3's own names the region.
    is_redirect = status < 400
    return operation.startswith("Head") and (not is_redirect or "x-amz-bucket-region" in headers)


def _hint(status: int, location: str | None, content: bytes) -> str:
    if status < 400 and location:
        return f"it sends to {_server_of(location)}; set AWS_ENDPOINT_URL to where S3 is"
    if b"HTTPS" in content:
        return "it wants https; correct the scheme of AWS_ENDPOINT_URL"
    return "set AWS_ENDPOINT_URL to the address of its S3 protocol, which is not that of a console"


def _server_of(location: str) -> str:
    """Scheme, host and port of an address: the rest may hold what is secret."""
    url = urlsplit(location)
    if not url.hostname:
        return "another path"
    try:
        port = f":{url.port}" if url.port else ""
    except ValueError:
        port = ""
    return f"{url.scheme}://{url.hostname}{port}"
