"""A server that speaks OpenAI's chat completions with audio. Models that do need a GPU, so this one
answers by a rule that a test gives it; the requests and answers are the real protocol."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

KINDS = ("text", "input_audio")


@dataclass(frozen=True)
class Asked:
    """A request as the model gets it."""

    words: str
    waveforms: list[NDArray[np.float32]]
    """Of the recordings, in their order."""
    sample_rate_hz: int
    body: dict[str, Any]
    key: str

    @property
    def waveform(self) -> NDArray[np.float32]:
        """Of the only recording."""
        (waveform,) = self.waveforms
        return waveform


@dataclass(frozen=True)
class Refused:
    """An answer that is an error."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """An answer that is none of the protocol, as of a proxy."""

    text: str
    content_type: str


Rule = Callable[[Asked], str | Refused | Page | None]


class AudioLlmServer:
    """Listens at `url` until its context ends; `asked` has every request."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.asked: list[Asked] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path != "/v1/chat/completions":
                    return self.answer(404, {"error": {"message": "not here"}})
                asked = read(body, self.headers.get("authorization", ""))
                server.asked.append(asked)
                said = server.rule(asked)
                if isinstance(said, Refused):
                    error = {"error": {"message": "refused", "type": "error", "code": None}}
                    return self.answer(said.status, error, said.headers)
                if isinstance(said, Page):
                    return self.send(200, said.text, said.content_type)
                return self.answer(200, completion(body["model"], said))

            def answer(
                self, status: int, body: object, headers: tuple[tuple[str, str], ...] = ()
            ) -> None:
                self.send(status, json.dumps(body), "application/json", headers)

            def send(
                self,
                status: int,
                text: str,
                content_type: str,
                headers: tuple[tuple[str, str], ...] = (),
            ) -> None:
                data = text.encode()
                self.send_response(status)
                for name, value in (("content-type", content_type), *headers):
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"


def read(body: dict[str, Any], key: str) -> Asked:
    """What a body asks; an AssertionError for one that is not of the protocol."""
    (message,) = body["messages"]
    assert message["role"] == "user"
    parts = {kind: [p[kind] for p in message["content"] if p["type"] == kind] for kind in KINDS}
    assert sum(map(len, parts.values())) == len(message["content"])
    waveforms, rates_hz = zip(*map(heard, parts["input_audio"]), strict=True)
    (rate_hz,) = set(rates_hz)
    return Asked(
        " ".join(parts["text"]), list(waveforms), rate_hz, body, key.removeprefix("Bearer ")
    )


def heard(audio: dict[str, str]) -> tuple[NDArray[np.float32], int]:
    """A recording of a question."""
    assert audio["format"] == "wav"
    wav = base64.b64decode(audio["data"], validate=True)
    return soundfile.read(io.BytesIO(wav), dtype="float32")


def completion(model: str, said: str | None) -> dict[str, Any]:
    """A whole answer, with 100 tokens of input and 2 of output."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "logprobs": None,
                "message": {"role": "assistant", "content": said, "refusal": None},
            }
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102},
    }


@contextmanager
def serving(rule: Rule) -> Generator[AudioLlmServer]:
    """A server that answers by the rule."""
    server = AudioLlmServer(rule)
    thread = threading.Thread(target=server.http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()
        thread.join()
