"""What works on this machine, in a few seconds, and what to do about what does not."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

import httpx

from ttsrl.errors import Failure
from ttsrl.runtime import machine

NETWORK_TIMEOUT_S = 4.0
SHARED_MEMORY_BYTES = 1 * machine.GIB
"""Ray keeps its objects there, and is slow on a disk."""

PACKAGES: Mapping[str, str] = {
    "torch": "train",
    "transformers": "train",
    "verl": "train",
    "ray": "train",
    "bentoml": "reward",
    "faster-whisper": "reward",
    "vllm": "gpu",
}
"""Distribution -> the extra that brings it."""


@dataclass(frozen=True)
class Check:
    """One finding."""

    name: str
    state: Literal["ok", "note", "bad"]
    """`note`: missing, and the quickstart does without."""
    found: str
    advice: str = ""


def examine() -> list[Check]:
    """Look at everything; what needs the network is asked at once, each with a time limit."""
    environment = dict(os.environ)
    looks: list[Callable[[], Check]] = [
        _python,
        *(partial(_package, name, extra) for name, extra in PACKAGES.items()),
        _gpu,
        _cores,
        _memory,
        _disk,
        _shared_memory,
        lambda: _reachable(
            "package index",
            environment.get("UV_DEFAULT_INDEX")
            or environment.get("UV_INDEX_URL")
            or environment.get("PIP_INDEX_URL")
            or "https://pypi.org/simple/",
            "installing packages needs it; set UV_DEFAULT_INDEX to a mirror",
        ),
        lambda: _reachable(
            "Hugging Face",
            environment.get("HF_ENDPOINT") or "https://huggingface.co",
            "models by id need it; set HF_ENDPOINT to a mirror, or give folders",
        ),
        lambda: s3(environment),
    ]
    with ThreadPoolExecutor(len(looks)) as threads:
        return [begun.result() for begun in [threads.submit(look) for look in looks]]


def show(checks: list[Check], *, as_json: bool) -> None:
    """Print the findings. Raises Failure when something is bad."""
    if as_json:
        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        print_table(checks)
    if bad := [check.name for check in checks if check.state == "bad"]:
        raise Failure(f"not ready: {', '.join(bad)}")


def print_table(checks: list[Check]) -> None:
    """The findings as a user reads them."""
    from rich.console import Console
    from rich.table import Column, Table

    marks = {"ok": "[green]ok", "note": "[yellow]note", "bad": "[red]bad"}
    columns = (Column(title, overflow="fold") for title in ("what", "found", "what to do"))
    table = Table("", *columns)
    for check in checks:
        table.add_row(marks[check.state], check.name, check.found, check.advice)
    Console(highlight=False).print(table)


def _python() -> Check:
    found = f"{platform.python_version()} at {sys.executable}"
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return Check("Python", "ok", found)
    return Check("Python", "bad", found, "use Python 3.11, 3.12 or 3.13: uv sync --python 3.11")


def _package(name: str, extra: str) -> Check:
    try:
        return Check(name, "ok", version(name))
    except PackageNotFoundError:
        way_out = f"uv sync --inexact --extra {extra}"
        if extra == "gpu":
            return Check(name, "note", "not installed", f"on a GPU machine: {way_out}")
        return Check(name, "bad", "not installed", way_out)


def _gpu() -> Check:
    gpus = machine.gpus()
    if not gpus:
        return Check(
            "GPU",
            "note",
            "none",
            "the tiny model trains on the CPU; real models need an NVIDIA GPU",
        )
    found = "; ".join(f"{gpu.name}, {gpu.total_bytes / machine.GIB:.1f} GiB" for gpu in gpus)
    return Check("GPU", "ok", f"{found}; driver {machine.driver_version()}")


def _cores() -> Check:
    cores = machine.cores()
    if cores < 2:
        return Check("CPU cores", "note", f"{cores:g}", "the quickstart takes long; give it 2")
    return Check("CPU cores", "ok", f"{cores:g}")


def _memory() -> Check:
    return _at_least(
        "free memory",
        machine.free_memory_bytes(),
        machine.QUICKSTART_MEMORY_BYTES,
        "close programs",
    )


def _disk() -> Check:
    here = Path.cwd()
    return _at_least(
        f"free disk at {here}",
        machine.free_disk_bytes(here),
        machine.QUICKSTART_DISK_BYTES,
        "free some, or work in a folder on another disk",
    )


def _at_least(name: str, free: int, need: int, advice: str) -> Check:
    found = f"{free / machine.GIB:.1f} GiB"
    if free >= need:
        return Check(name, "ok", found)
    return Check(name, "bad", found, f"the quickstart needs {need / machine.GIB:.0f} GiB; {advice}")


def _shared_memory() -> Check:
    free = machine.free_disk_bytes(Path("/dev/shm"))
    found = f"{free / machine.GIB:.1f} GiB"
    if free >= SHARED_MEMORY_BYTES:
        return Check("/dev/shm", "ok", found)
    return Check("/dev/shm", "note", found, "Ray is slow without; docker run --shm-size=2g")


def _reachable(name: str, url: str, advice: str) -> Check:
    shown = url.rpartition("@")[2] if "@" in url else url  # without user and password
    try:
        status = httpx.head(url, timeout=NETWORK_TIMEOUT_S, follow_redirects=True).status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Check(name, "note", f"{shown} cannot be reached ({error})", advice)
    if status >= 500:
        return Check(name, "note", f"{shown} answers {status}", advice)
    return Check(name, "ok", f"{shown} answers")


def s3(environment: Mapping[str, str]) -> Check:
    """Whether the configured S3 takes the configured credentials."""
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    configured = endpoint or any(
        environment.get(name)
        for name in (
            "AWS_ACCESS_KEY_ID",
            "AWS_PROFILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        )
    )
    if not configured:
        return Check(
            "S3",
            "note",
            "not configured",
            "the quickstart brings its own; else set AWS_ENDPOINT_URL and credentials",
        )
    import boto3
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
    )

    where = endpoint or "AWS"
    config = Config(
        connect_timeout=NETWORK_TIMEOUT_S,
        read_timeout=NETWORK_TIMEOUT_S,
        retries={"total_max_attempts": 1},
    )
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    client: Any = cast(Any, boto3).client("s3", config=config, region_name=region)
    try:
        count = len(client.list_buckets()["Buckets"])
    except ClientError as error:
        code = cast(Any, error).response["Error"]["Code"]
        if code == "AccessDenied":  # good credentials that may not list
            return Check("S3", "ok", f"{where} answers; these credentials may not list buckets")
        return Check("S3", "bad", f"{where} answers {code}", "check the key and its secret")
    except BotoCoreError as error:
        return Check("S3", "bad", f"{where}: {error}", "check AWS_ENDPOINT_URL and the credentials")
    return Check("S3", "ok", f"{where} answers, {count} buckets")
