"""A scorer that speaks verl-omni's audio protocol. Theirs need a model and a GPU, so this one
answers by a rule that a test gives it; requests and answers are those of the protocol's version 1.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEYS = {
    "protocol_version",
    "waveform_f32_base64",
    "num_samples",
    "sample_rate",
    "prompt",
    "metadata",
}


@dataclass(frozen=True)
class ScoreAsked:
    """A request as the scorer gets it."""

    waveform: NDArray[np.float32]
    sample_rate_hz: int
    prompt: str
    metadata: dict[str, Any]
    authorization: str


@dataclass(frozen=True)
class ScoreSaid:
    """An answer: a status, and a body as it stands or as JSON."""

    body: object
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


Rule = Callable[[ScoreAsked], ScoreSaid]


class AudioScorerServer:
    """Listens at `url` until its context ends; `asked` has every request."""

    def __init__(self, rule: Rule) -> None:
        self.asked: list[ScoreAsked] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path != "/score":
                    return self.answer(ScoreSaid({"error": "Not found."}, 404))
                asked = read(json.loads(body), self.headers.get("authorization", ""))
                server.asked.append(asked)
                return self.answer(rule(asked))

            def answer(self, said: ScoreSaid) -> None:
                body = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
                self.send_response(said.status)
                for name, value in (("content-type", "application/json"), *said.headers):
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/score"


def read(body: dict[str, Any], authorization: str) -> ScoreAsked:
    """What a body asks; an AssertionError for one that is not of the protocol."""
    assert body.keys() == KEYS
    assert body["protocol_version"] == "1"
    data = base64.b64decode(body["waveform_f32_base64"], validate=True)
    waveform = np.frombuffer(data, dtype="<f4")
    assert type(body["num_samples"]) is int
    assert len(waveform) == body["num_samples"] > 0
    assert type(body["sample_rate"]) is int
    assert all(isinstance(value, str | int | float | None) for value in body["metadata"].values())
    return ScoreAsked(
        waveform, body["sample_rate"], body["prompt"], body["metadata"], authorization
    )


@contextmanager
def scoring(rule: Rule) -> Generator[AudioScorerServer]:
    """A scorer that answers by the rule."""
    server = AudioScorerServer(rule)
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()
