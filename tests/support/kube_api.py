"""An API server that answers what a test tells it to: for what the real one does rarely, such as
breaking a connection in the middle of a log or being away."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml

Answer = tuple[int, bytes]
Asked = tuple[str, str, dict[str, list[str]], bytes]
"""Method, path, query, body."""


@contextmanager
def api_server(answer: Callable[[Asked], Answer], folder: Path) -> Generator[Path]:
    """A server, and the kubeconfig in `folder` that leads to it."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = answer((self.command, url.path, parse_qs(url.query), body))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PATCH = do_DELETE = _do

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    cluster = {"server": f"http://127.0.0.1:{server.server_port}"}
    context = {"cluster": "test", "user": "test", "namespace": "speech"}
    file = folder / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "test", "cluster": cluster}],
                "users": [{"name": "test", "user": {}}],
                "contexts": [
                    {"name": "test", "context": context},
                    {"name": "other", "context": {**context, "namespace": "elsewhere"}},
                ],
                "current-context": "test",
            }
        )
    )
    try:
        yield file
    finally:
        server.shutdown()
        server.server_close()


def as_json(value: object) -> bytes:
    """An object as an API server sends it."""
    return json.dumps(value).encode()
