"""A Hugging Face hub on this machine: the part of its HTTP interface that a download needs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

Files = Mapping[str, bytes]


@dataclass
class LocalHub:
    """Repositories with commits and a branch `main`; what was asked for is written down."""

    url: str = ""
    commits: dict[str, dict[str, Files]] = field(default_factory=dict[str, dict[str, Files]])
    """Repository -> commit -> files."""
    main: dict[str, str] = field(default_factory=dict[str, str])
    gated: set[str] = field(default_factory=set[str])
    claimed_sizes: dict[str, int] = field(default_factory=dict[str, int])
    """Sizes to tell instead of the true ones, by the file's name."""
    fetched: list[str] = field(default_factory=list[str])
    """`id/file` of every file whose content was sent."""
    requests: int = 0
    on_move: Callable[[], object] = lambda: None
    """What a request for /move does."""
    broken: bool = False
    """Answers nothing but 503."""

    def push(self, repository: str, files: Files) -> str:
        """A new commit on main; returns its hash."""
        content = json.dumps([len(self.commits), len(self.commits.get(repository, {}))])
        named = [(name, hashlib.sha1(data).hexdigest()) for name, data in sorted(files.items())]
        commit = hashlib.sha1(f"{repository} {content} {named}".encode()).hexdigest()
        self.commits.setdefault(repository, {})[commit] = files
        self.main[repository] = commit
        return commit


def folder_content(folder: Path) -> dict[str, bytes]:
    """Files of a folder by name."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


@contextmanager
def local_hub() -> Generator[LocalHub]:
    """Serve until the end of the block."""
    hub = LocalHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            hub.requests += 1
            if hub.broken:
                return self.answer(503, b"down")
            path = unquote(urlsplit(self.path).path).strip("/")
            if path == "move":
                hub.on_move()
                return self.answer(200, b"")
            if path.startswith("api/models/"):
                owner, name, *rest = path.removeprefix("api/models/").split("/")
                return self.api(f"{owner}/{name}", rest)
            if path.count("/") < 4:
                return self.answer(404, b"")
            owner, name, _, revision, *rest = path.split("/")
            self.file(f"{owner}/{name}", revision, "/".join(rest))

        def api(self, repository: str, rest: list[str]) -> None:
            revision = "/".join(rest[1:]) or "main"
            commit = self.commit(repository, revision)
            if commit is None:
                return
            files = hub.commits[repository][commit]
            if rest[:1] == ["tree"]:
                entries = [
                    {"type": "file", "path": name, "oid": oid(data), "size": size(name, data)}
                    | ({"lfs": {"oid": sha256(data), "size": size(name, data), "pointerSize": 1}}
                       if is_large(name) else {})
                    for name, data in files.items()
                ]  # fmt: skip
                return self.answer(200, json.dumps(entries).encode())
            siblings = [{"rfilename": name} for name in files]
            facts = {"id": repository, "sha": commit, "private": False, "siblings": siblings}
            self.answer(200, json.dumps(facts).encode())

        def file(self, repository: str, revision: str, name: str) -> None:
            commit = self.commit(repository, revision)
            if commit is None:
                return
            if repository in hub.gated:
                return self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
            data = hub.commits[repository][commit].get(name)
            if data is None:
                return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
            if self.command == "GET":
                hub.fetched.append(f"{repository}/{name}")
            etag = sha256(data) if is_large(name) else oid(data)
            self.answer(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": commit})

        def commit(self, repository: str, revision: str) -> str | None:
            commits = hub.commits.get(repository)
            if commits is None:
                self.answer(401, b"", {"X-Error-Code": "RepoNotFound"})
                return None
            commit = hub.main[repository] if revision == "main" else revision
            if commit not in commits:
                self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
                return None
            return commit

        def answer(self, status: int, body: bytes, headers: Mapping[str, str] = {}) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    def size(name: str, data: bytes) -> int:
        return hub.claimed_sizes.get(name, len(data))

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def oid(data: bytes) -> str:
    """Of git."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(name: str) -> bool:
    """Whether the hub keeps it in LFS."""
    return name.endswith((".safetensors", ".bin", ".msgpack", ".h5", ".onnx", ".pt"))


def environment_of(hub: LocalHub, home: Path) -> dict[str, str]:
    """Variables with which a process gets its models from this hub into this cache."""
    return {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": "",
    }


def python(code: str, hub: LocalHub, home: Path, **environment: str) -> str:
    """What a fresh process with this hub and cache prints; it imports huggingface_hub anew."""
    variables = {**os.environ, **environment_of(hub, home), **environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
    )
    return (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()
