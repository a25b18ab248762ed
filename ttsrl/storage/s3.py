"""Storage in S3, or in anything that speaks its protocol. Importing it loads boto3."""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any, Literal

import boto3.session
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from urllib3.exceptions import HTTPError

from ttsrl.errors import BadInput
from ttsrl.storage.backend import Stat
from ttsrl.storage.errors import ObjectChangedError, ObjectExistsError, StorageError
from ttsrl.storage.local import LocalFile
from ttsrl.storage.manifest import FileEntry
from ttsrl.storage.s3_answers import PASSING, NotS3Error, watch
from ttsrl.storage.s3_errors import (
    CREDENTIAL_CODES,
    WRONG_CODES,
    code_of,
    explain,
    explain_stranger,
    status_of,
)
from ttsrl.storage.transfer import CONNECTIONS, PART_BYTES, Transfer

CHUNK_BYTES = 1 << 20
MAX_PARTS = 10_000
"""S3's limit on the parts of one object."""
ATTEMPTS = 6
"""Tries of one request, with exponential back-off up to 20 s; AWS_MAX_ATTEMPTS changes it."""
ROTATION_WAIT_S = 180.0
"""How long good credentials that were withdrawn may lack their successors: a kubelet brings a
changed Secret into its pods within its sync period and cache, together up to two minutes."""
ROTATION_POLL_S = 3.0
CHECKSUM_KEY = "sha256"
"""Metadata of each uploaded object: how a later publish knows its content without reading it."""

# Conditional writes lost a race: another publisher was here first, or is here now.
LOST_RACE_CODES = {"PreconditionFailed", "412", "ConditionalRequestConflict"}
# What reading an answer raises when the connection is lost.
CUT_ERRORS = (HTTPClientError, IncompleteReadError, HTTPError)
MISSING_CODES = {"NoSuchKey", "404"}
# Bytes were damaged on the way, or the server has dropped a half upload: send the file again.
DAMAGED_CODES = {"BadDigest", "InvalidDigest", "NoSuchUpload", "InvalidPart", "IncompleteBody"}

_LOADER = botocore.loaders.create_loader()
"""botocore's description of S3, parsed once: it is most of the time that a new client takes."""


class S3Backend:
    """Objects below s3://bucket/prefix; credentials and endpoint from boto3's own chain."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.attempts = _attempts()
        self._endpoint = ""
        self._conditional_writes = True
        self._has_worked = False
        self._is_known = False
        self._lock = threading.Lock()
        # At DEBUG, botocore logs every signed request with its session token.
        logging.getLogger("botocore").setLevel(logging.WARNING)
        self._client = self._connect()

    def address(self, key: str) -> str:
        return f"s3://{self.bucket}/{self._key(key)}"

    def read(self, key: str) -> bytes | None:
        failures = 0
        while True:
            answer = self._unless_missing(
                key, lambda c: c.get_object(Bucket=self.bucket, Key=self._key(key))
            )
            if answer is None:
                return None
            try:
                with closing(answer["Body"]) as body:
                    return body.read()
            except CUT_ERRORS as error:
                failures += 1
                self._back_off(failures, error, key)

    def write(self, key: str, data: bytes) -> None:
        self._repeat(key, lambda: self._put(key, data, {}))

    def create(self, key: str, data: bytes) -> None:
        if self.stat(key) is not None:  # some servers ignore conditions
            raise ObjectExistsError(key)
        self._repeat(key, lambda: self._put(key, data, {"IfNoneMatch": "*"}))

    def delete(self, key: str) -> None:
        with self._explained(key):
            self._call(lambda c: c.delete_object(Bucket=self.bucket, Key=self._key(key)))

    def list_keys(self, prefix: str) -> Iterator[str]:
        full = self._key(prefix)
        full = f"{full}/" if full else ""

        def keys(client: Any) -> list[str]:
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=full
            )
            return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

        with self._explained(prefix):
            found = self._call(keys)
        cut = len(self.prefix) + 1 if self.prefix else 0
        yield from (key[cut:] for key in found)

    def stat(self, key: str) -> Stat | None:
        head = self._head(key)
        return None if head is None else Stat(head["ContentLength"], head["ETag"])

    def lists(self, key: str, size: int) -> bool:
        full = self._key(key)
        with self._explained(key):
            page = self._call(
                lambda c: c.list_objects_v2(Bucket=self.bucket, Prefix=full, MaxKeys=1)
            )
        return any((e["Key"], e["Size"]) == (full, size) for e in page.get("Contents", []))

    def compare(self, key: str, entry: FileEntry) -> Literal["absent", "same", "different"]:
        head = self._head(key)
        if head is None:
            return "absent"
        metadata = {name.lower(): value for name, value in head["Metadata"].items()}
        same = (head["ContentLength"], metadata.get(CHECKSUM_KEY)) == (entry.size, entry.sha256)
        return "same" if same else "different"

    def upload(self, source: LocalFile, key: str, transfer: Transfer) -> None:
        def send() -> None:
            with transfer.whole() as advance:
                if source.entry.size <= PART_BYTES:
                    body = source.path.read_bytes()
                    source.check_unchanged()
                    self._put(key, body, {**_metadata(source), "IfNoneMatch": "*"})
                    advance(len(body))
                else:
                    self._put_parts(source, key, transfer, advance)

        self._repeat(key, send)

    def _repeat(self, key: str, send: Callable[[], None]) -> None:
        """Send again what arrives damaged: botocore takes the refusal for final."""
        for attempt in range(1, self.attempts + 1):
            try:
                send()
                return
            except DamagedError as error:
                if attempt == self.attempts:
                    raise StorageError(
                        f"{self.address(key)} arrived damaged {attempt} times ({error}); "
                        "check the network between this machine and the server"
                    ) from None

    def fetch(self, key: str, start: int, length: int, version: str | None) -> Iterator[bytes]:
        got, failures = 0, 0
        while got < length:
            answer = self._get_range(key, start + got, length - got, version)
            try:
                with closing(answer["Body"]) as body:
                    while chunk := body.read(CHUNK_BYTES):
                        got += len(chunk)
                        failures = 0
                        yield chunk
            except CUT_ERRORS as error:
                failures += 1
                self._back_off(failures, error, key)

    def _back_off(self, failures: int, error: Exception, key: str) -> None:
        """Wait before an answer is read again: botocore repeats requests, but not this."""
        if failures >= self.attempts:
            raise explain(error, self.address(key), self._endpoint, failures) from None
        time.sleep(min(20.0, random.random() * 2**failures))

    def _get_range(self, key: str, start: int, length: int, version: str | None) -> dict[str, Any]:
        condition = {} if version is None else {"IfMatch": version}
        with self._explained(key):
            try:
                answer = self._call(
                    lambda c: c.get_object(
                        Bucket=self.bucket,
                        Key=self._key(key),
                        Range=f"bytes={start}-{start + length - 1}",
                        **condition,
                    )
                )
            except ClientError as error:
                if code_of(error) in MISSING_CODES | LOST_RACE_CODES | {"InvalidRange", "416"}:
                    raise ObjectChangedError(key) from None
                raise
        if answer["ContentLength"] != length:
            answer["Body"].close()
            raise ObjectChangedError(key)
        return answer

    def _head(self, key: str) -> dict[str, Any] | None:
        return self._unless_missing(
            key, lambda c: c.head_object(Bucket=self.bucket, Key=self._key(key))
        )

    def _put(self, key: str, body: bytes, options: dict[str, Any]) -> None:
        target = {"Bucket": self.bucket, "Key": self._key(key)}
        with self._explained(key, len(body)), _races_told(key):
            self._with_condition(
                lambda c, o: c.put_object(**target, Body=body, ContentMD5=_md5(body), **o), options
            )

    def _put_parts(
        self,
        source: LocalFile,
        key: str,
        transfer: Transfer,
        advance: Callable[[int], None],
    ) -> None:
        target = {"Bucket": self.bucket, "Key": self._key(key)}
        with (
            self._explained(key, PART_BYTES),
            _races_told(key),
            source.path.open("rb") as file,
        ):
            begun = self._call(lambda c: c.create_multipart_upload(**target, **_metadata(source)))
            target["UploadId"] = begun["UploadId"]
            size = source.entry.size
            part_bytes = max(PART_BYTES, -(-size // MAX_PARTS))

            def send(number: int) -> dict[str, Any]:
                advance(0)
                body = os.pread(file.fileno(), part_bytes, (number - 1) * part_bytes)
                options = {"PartNumber": number, "Body": body, "ContentMD5": _md5(body)}
                part = self._call(lambda c: c.upload_part(**target, **options))
                advance(len(body))
                return {"PartNumber": number, "ETag": part["ETag"]}

            def complete(client: Any, options: dict[str, Any]) -> None:
                parts_told = {"MultipartUpload": {"Parts": parts}}
                client.complete_multipart_upload(**target, **parts_told, **options)

            try:
                parts = list(transfer.parts(send, range(1, -(-size // part_bytes) + 1)))
                source.check_unchanged()
                self._with_condition(complete, {"IfNoneMatch": "*"})
            except BaseException:
                self._abandon(target)
                raise

    def _abandon(self, target: dict[str, Any]) -> None:
        """Free the parts of a failed upload; what this cannot reach is the bucket's lifecycle's."""
        try:
            self._client.abort_multipart_upload(**target)
        except (BotoCoreError, ClientError, NotS3Error):
            logging.getLogger(__name__).warning(
                "parts of an unfinished upload remain at s3://%(Bucket)s/%(Key)s", target
            )

    def _with_condition(
        self, write: Callable[[Any, dict[str, Any]], None], options: dict[str, Any]
    ) -> None:
        """Write if nothing is there; unconditionally where the server knows no conditions."""
        if self._conditional_writes or "IfNoneMatch" not in options:
            try:
                self._call(lambda c: write(c, options))
                return
            except ClientError as error:
                if code_of(error) != "NotImplemented" or "IfNoneMatch" not in options:
                    raise
                self._conditional_writes = False
        bare = {name: value for name, value in options.items() if name != "IfNoneMatch"}
        self._call(lambda c: write(c, bare))

    def _unless_missing(self, key: str, function: Callable[[Any], Any]) -> Any:
        with self._explained(key):
            try:
                return self._call(function)
            except ClientError as error:
                if code_of(error) in MISSING_CODES:
                    return None
                raise

    def _call(self, function: Callable[[Any], Any]) -> Any:
        """Call with the client; again with credentials read anew if these are refused."""
        client = self._client
        if not self._is_known:
            self._meet(client)
        try:
            answer = function(client)
        except ClientError as error:
            if code_of(error) not in CREDENTIAL_CODES:
                raise
        else:
            self._has_worked = True
            return answer
        return self._call_renewed(function, client)

    def _meet(self, client: Any) -> None:
        """Ask once, before anything else, what only S3 answers. Raises NotS3Error.

        A refusal is an answer, too: what was to be done will be refused with the reason.
        """
        try:
            client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
        except ClientError as error:
            if status_of(error) in PASSING:
                raise
        self._is_known = True

    def _call_renewed(self, function: Callable[[Any], Any], refused: Any) -> Any:
        """Credentials that were good and are withdrawn are being rotated: new ones are on the way.

        A pod finds a changed Secret in its file a minute or two later; until then the old one is
        read again and again. Credentials that have never been good are tried once more.
        """
        deadline = time.monotonic() + (ROTATION_WAIT_S if self._has_worked else 0.0)
        while True:
            with self._lock:
                if self._client is refused:
                    self._client = self._connect()
                client = self._client
            try:
                return function(client)
            except ClientError as error:
                if time.monotonic() >= deadline or not self._are_withdrawn(client, error):
                    raise
            logging.getLogger(__name__).warning(
                "%s refuses the credentials; waiting for renewed ones", self._endpoint
            )
            refused = client
            time.sleep(ROTATION_POLL_S)

    def _are_withdrawn(self, client: Any, error: ClientError) -> bool:
        """Whether the server no longer takes the credentials; else it denied this one request."""
        if code_of(error) in WRONG_CODES:
            return True
        try:  # the answer to a HEAD tells no more than its status
            client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
        except ClientError as answer:
            return code_of(answer) in WRONG_CODES
        return False

    def _connect(self) -> Any:
        config = Config(
            max_pool_connections=CONNECTIONS,
            connect_timeout=10,
            read_timeout=60,
            tcp_keepalive=True,
            retries={"mode": "standard", "total_max_attempts": self.attempts},
            # Content-MD5 guards uploads and the manifest guards downloads; AWS's newer checksum
            # headers are refused or answered wrongly by some servers.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        with self._explained(""):
            try:
                # A new session, because an old one keeps the credentials that it has read.
                session = botocore.session.Session()
                session.register_component("data_loader", _LOADER)
                client = boto3.session.Session(botocore_session=session).client("s3", config=config)
            except ValueError:
                raise BadInput(
                    "AWS_ENDPOINT_URL is no URL; it looks like https://s3.example.com"
                ) from None
        watch(client)
        self._endpoint = str(client.meta.endpoint_url)
        return client

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}".strip("/") if self.prefix else key

    @contextmanager
    def _explained(self, key: str, sent_bytes: int = 0) -> Generator[None]:
        """Plain words for what goes wrong, with the size of what was sent, where that matters."""
        try:
            yield
        except NotS3Error as error:
            address = self.address(key)
            raise explain_stranger(
                error, address, self._endpoint, sent_bytes, is_first=not self._is_known
            ) from None
        except (BotoCoreError, ClientError) as error:
            # Without its cause: botocore's texts may quote requests.
            raise explain(error, self.address(key), self._endpoint, self.attempts) from None


class DamagedError(Exception):
    """The server refused a file whose bytes had changed on the way."""


@contextmanager
def _races_told(key: str) -> Generator[None]:
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in LOST_RACE_CODES:
            raise ObjectExistsError(key) from None
        if code in DAMAGED_CODES:
            raise DamagedError(code) from None
        raise


def _metadata(source: LocalFile) -> dict[str, Any]:
    return {"Metadata": {CHECKSUM_KEY: source.entry.sha256}}


def _md5(body: bytes) -> str:
    """Content-MD5: the one checksum that every server verifies."""
    return base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()


def _attempts() -> int:
    text = os.environ.get("AWS_MAX_ATTEMPTS") or str(ATTEMPTS)
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(f"AWS_MAX_ATTEMPTS is {text!r}; it must be a whole number from 1")
    return int(text)
