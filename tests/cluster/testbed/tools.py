"""The cluster's Go programs: built once from the pins in tools/, then found by those pins' hash."""

import fcntl
import hashlib
import json
import os
import resource
import shutil
import subprocess
import time
import tomllib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .paths import CACHE, TOOLS, TestbedError

GROUPS = ("core", "scale", "full")
LINT = "lint"
"""What `make lint` needs; no cluster does."""
GO = CACHE / "go"
"""Go's own caches while it builds; 14 GB for the group scale, which nobody needs afterwards."""


@dataclass(frozen=True)
class Tool:
    """One table of tools.toml."""

    name: str
    group: str
    binaries: dict[str, str]
    folder: str = ""
    version: str = ""
    tags: str = ""
    ldflags: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()

    @property
    def source(self) -> Path:
        return TOOLS / (self.folder or self.name)

    @property
    def home(self) -> Path:
        """Where its binaries and manifests are, once built: another pin is another folder."""
        pins = hashlib.sha256(repr(self).encode())
        for path in sorted(self.source.iterdir()):
            pins.update(path.name.encode() + b"\0" + path.read_bytes())
        return CACHE / "tools" / f"{self.name}-{pins.hexdigest()[:12]}"


@cache
def tools() -> dict[str, Tool]:
    tables = tomllib.loads((TOOLS / "tools.toml").read_text())
    return {name: Tool(name=name, **table) for name, table in tables.items()}


def binary(name: str) -> Path:
    """A finished program; a clear error where it was not built."""
    for tool in tools().values():
        if name in tool.binaries:
            path = tool.home / name
            if not path.exists():
                raise TestbedError(
                    f"{name} is not built ({path} is missing): run `make cluster-tools "
                    f"GROUP={tool.group}`, which needs Go"
                )
            return path
    raise KeyError(name)


def manifests(name: str) -> Path:
    """The folder with what was kept of a tool's module zip."""
    binary(next(iter(tools()[name].binaries)))
    return tools()[name].home / "manifests"


def tool_image(name: str) -> str:
    """Name of an operator's image; its tag is the hash of what is in it."""
    return f"docker.io/library/{name}:{tools()[name].home.name.rpartition('-')[2]}"


def groups_up_to(name: str) -> tuple[str, ...]:
    """A group with those before it. Raises TestbedError for a name that is none."""
    if name == LINT:
        return (LINT,)
    if name not in GROUPS:
        raise TestbedError(f"{name} is not a group of tools.toml: {', '.join((*GROUPS, LINT))}")
    return GROUPS[: GROUPS.index(name) + 1]


def build(groups: tuple[str, ...]) -> None:
    """Build what is missing, one program after the other: one link alone fills two cores.

    Another process that builds is waited for: both would use and remove the same caches of Go.
    """
    with _one_at_a_time():
        _build_missing(groups)


@contextmanager
def _one_at_a_time() -> Generator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "building.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another process that builds the cluster's programs", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build_missing(groups: tuple[str, ...]) -> None:
    missing = [tool for tool in tools().values() if tool.group in groups and not tool.home.exists()]
    if missing and not shutil.which("go"):
        raise TestbedError(
            f"Go is not installed, and {', '.join(t.name for t in missing)} must be built: "
            f"install Go 1.26.4 or later, or bring the folder {CACHE / 'tools'} from a machine "
            "where `make cluster-tools` has run"
        )
    for tool in missing:
        started, cpu_s = time.monotonic(), _children_cpu_s()
        _build(tool)
        print(
            f"built {tool.name}: {time.monotonic() - started:.0f} s, "
            f"{_children_cpu_s() - cpu_s:.0f} CPU-s",
            flush=True,
        )
    shutil.rmtree(GO, ignore_errors=True)


def _build(tool: Tool) -> None:
    unfinished = tool.home.with_suffix(".unfinished")
    unfinished.mkdir(parents=True, exist_ok=True)
    flags = " ".join(["-s", "-w", *(f"-X {flag}" for flag in _ldflags(tool))])
    tags = ["-tags", tool.tags] if tool.tags else []
    for name, package in tool.binaries.items():
        output = str(unfinished / name)
        _go(tool, "build", "-trimpath", *tags, "-ldflags", flags, "-o", output, package)
    for manifest in tool.manifests:
        module, _, path = manifest.partition(":")
        _go(tool, "mod", "download", module)
        kept = unfinished / "manifests" / path
        found = Path(json.loads(_go(tool, "list", "-m", "-json", module))["Dir"]) / path
        kept.parent.mkdir(exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, kept, dirs_exist_ok=True)
        else:
            shutil.copyfile(found, kept)
    unfinished.rename(tool.home)


def _ldflags(tool: Tool) -> list[str]:
    if not tool.version:
        return list(tool.ldflags)
    version = json.loads(_go(tool, "list", "-m", "-json", tool.version))["Version"]
    major, minor, _ = version.removeprefix("v").split(".", 2)
    return [flag.format(version=version, major=major, minor=minor) for flag in tool.ldflags]


def _go(tool: Tool, *arguments: str) -> str:
    settings = {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOFLAGS": "-modcacherw"}
    caches = {"GOPATH": str(GO), "GOMODCACHE": str(GO / "mod"), "GOCACHE": str(GO / "build")}
    done = subprocess.run(
        ["go", *arguments],
        cwd=tool.source,
        env={**os.environ, **settings, **caches},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise TestbedError(
            f"go {arguments[0]} of {tool.name} in {tool.source} failed:\n{done.stderr[-4000:]}"
        )
    return done.stdout


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
