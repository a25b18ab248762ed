"""Hostile requests against a reward service: PYTHONPATH=.:tests python benchmarks/reward_fuzz.py

Half of them schemathesis makes from the served OpenAPI document, valid and invalid; the others are
broken by hand: bytes, JSON, tensors, recordings, tokens, sockets. Each has to be answered with
scores or a 4xx; 500 is left for the routes of published recipes, which
say so of gated speech.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore, Lock
from typing import Any, Self, cast

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis import GenerationMode

from support.reward_server import RewardServer, metrics, score, start, utterances
from ttsrl.serving.connection import REQUEST_DEADLINE_S

TOKEN = "right"
OURS = ("/v1/score", "/score")
SCORE_WAV, INFER = "/score_wav", "/v2/models/token2wav_asr/infer"
NUMBERS = [0, -1, 1, 999, 2**31, -(2**31) - 1, 2**63, 10**400, 1.5, float("nan"), float("inf")]
LEAVES = [*NUMBERS, None, True, "", "a", "\ud800", "\x00", "e" * 20_000, [], {}, "é\u202e漢"]
HUGE_BODY_BYTES = 2**30
SENDERS = 4


@dataclass
class Findings:
    """What was answered, and what should not have been."""

    codes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def look(self, route: str, status: int, body: str) -> None:
        """Judges one answer."""
        with self.lock:
            self.codes[f"{route} {status}"] += 1
        gated = route in ("/score", SCORE_WAV) and '"detail":"gated, ' in body
        if not (status == 200 or 400 <= status < 500 or (status == 500 and gated)):
            self.problems.append(f"{route} answered {status}: {body[:300]}")
        if "Traceback" in body or 'File "' in body:
            self.problems.append(f"{route} shows a traceback: {body[:300]}")


def fuzz(server: RewardServer, requests: int, seed: int = 0) -> Findings:
    """Sends hostile requests, then checks that the service is what it was before."""
    findings = Findings()
    items = utterances(3)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=server.url, timeout=120, headers=headers) as http:
        before = score(server, items, TOKEN)
        draw = random.Random(seed)

        def post(route: str, content: bytes, extra: dict[str, str]) -> None:
            try:
                answer = http.post(route, content=content, headers=extra)
            except httpx.HTTPError as error:
                findings.problems.append(f"{route}: no answer: {error!r} to {content[:200]!r}")
                return
            findings.look(route.partition("?")[0], answer.status_code, answer.text)

        with Senders() as senders:
            by_schema(server, requests // 2, findings, seed, senders)
            for _ in range(requests - requests // 2):
                senders.send(post, *hostile(draw))
        if score(server, items, TOKEN) != before:
            findings.problems.append("the same utterances have other scores now")
        if http.get("/readyz").status_code != 200:
            findings.problems.append("the service is not ready any more")
    state = metrics(server)
    for reason in ("died", "hung"):
        if state[f'ttsrl_reward_workers_lost_total{{"reason": "{reason}"}}']:
            findings.problems.append(f"a worker {reason}")
    if state["ttsrl_reward_in_flight{}"] or state["ttsrl_reward_queue_depth{}"]:
        findings.problems.append("something is left in the queue")
    if "Traceback" in server.log.read_text():
        findings.problems.append(f"a traceback in {server.log}")
    return findings


class Senders:
    """Threads that send what is made meanwhile: making a request takes as long as answering it."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(SENDERS)
        self._room = BoundedSemaphore(4 * SENDERS)
        self._sent: list[Future[None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        for future in self._sent:
            future.result()

    def send(self, function: Callable[..., None], *arguments: object) -> None:
        """Call it in a thread, once there is room; what it raises comes at the end."""
        self._room.acquire()
        future = self._pool.submit(function, *arguments)
        future.add_done_callback(lambda _: self._room.release())
        self._sent.append(future)


def by_schema(
    server: RewardServer, requests: int, findings: Findings, seed: int, senders: Senders
) -> None:
    """Requests that schemathesis derives from the OpenAPI document of the service."""

    def call(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {TOKEN}"})
        findings.look(case.path, answer.status_code, answer.text)

    schema = schemathesis.openapi.from_url(f"{server.url}/docs.json")
    operations = [schema[path]["POST"] for path in OURS]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    share = -(-requests // (len(operations) * len(modes)))
    for operation in operations:
        for mode in modes:

            @seeded(seed)
            @settings(
                max_examples=share,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def make(case: Any) -> None:
                senders.send(call, case)

            make()


def hostile(draw: random.Random) -> tuple[str, bytes, dict[str, str]]:
    """Route, body and headers of one request that somebody broke."""
    route = draw.choice([*OURS, SCORE_WAV, INFER])
    headers = {"content-type": "application/json"}
    match draw.randrange(8):
        case 0:
            body = draw.randbytes(draw.choice([0, 1, 7, 100, 10_000]))
        case 1:
            depth = draw.choice([10, 1_000, 100_000])
            body = draw.choice([b"[", b'{"utterances":', b'{"a":']) * depth
        case 2:
            body = json.dumps(LEAVES[: draw.randrange(len(LEAVES))]).encode()
        case 3:
            body = json.dumps({"utterances": [{"text": "a", "speech_tokens": [1]}] * 5000}).encode()
        case 4:
            headers["content-type"] = draw.choice(
                [
                    "",
                    "text/plain",
                    "application/vnd.bentoml+pickle",
                    "multipart/form-data",
                    "a" * 99,
                ]
            )
            body = b"{}"
        case 5:
            headers["authorization"] = draw.choice(
                ["", "Bearer", "Bearer wrong", "Basic cmlnaHQ=", "Bearer " + "a" * 5_000]
            )
            body = json.dumps(valid(route)).encode()
        case _:
            body = damaged(draw, route, headers)
    if route == SCORE_WAV:
        headers["content-type"] = "audio/wav"
        route += "?text=" + draw.choice(["", "hello", "%00", "a" * 11_000, "%ff"])
        body = draw.choice([body, wav(draw)])
    return route, body, headers


def damaged(draw: random.Random, route: str, headers: dict[str, str]) -> bytes:
    """A valid body, some values of which are replaced; for tensors, in the binary form too."""
    body = valid(route)
    for _ in range(draw.randrange(1, 4)):
        replace(draw, body)
    content = json.dumps(body).encode()
    if route == INFER and draw.random() < 0.5:
        lengths = [len(content), 0, -1, 10**30, len(content) - 1, "x", ""]
        headers["Inference-Header-Content-Length"] = str(draw.choice(lengths))
        headers["content-type"] = "application/octet-stream"
        content += draw.randbytes(draw.choice([0, 3, 12, 16]))
    return content


def valid(route: str) -> dict[str, Any]:
    """A body that the route takes."""
    match route:
        case "/v1/score":
            return {"utterances": [{"text": "six climb", "speech_tokens": [1, 2, 3] * 9}]}
        case "/score":
            return {"text": "six climb", "tokens": [1, 2, 3] * 9}
        case _:
            tensors: list[dict[str, Any]] = [
                {"name": "TOKENS", "shape": [1, 3], "datatype": "INT32", "data": [1, 2, 3]},
                {"name": "TOKEN_LENS", "shape": [1, 1], "datatype": "INT32", "data": [3]},
                {"name": "GT_TEXT", "shape": [1, 1], "datatype": "BYTES", "data": ["hello"]},
            ]
            tensors[0] |= {"parameters": {"binary_data_size": 12}}
            return {"inputs": tensors, "outputs": [{"name": "REWARDS"}], "parameters": {}}


def replace(draw: random.Random, body: Any) -> None:
    """Replaces, removes or adds one value somewhere in it."""
    containers = list(walk(body))
    container = draw.choice(containers)
    leaf = draw.choice(LEAVES)
    if isinstance(container, dict):
        key = draw.choice([*container, "unknown"])
        container.pop(key, None)
        if draw.random() < 0.8:
            container[key] = leaf
    else:
        container[draw.randrange(len(container) + 1) :] = [leaf]


def walk(value: Any) -> Iterator[Any]:
    """All containers in it."""
    if isinstance(value, dict | list):
        yield value
        for part in value.values() if isinstance(value, dict) else value:
            yield from walk(part)


def wav(draw: random.Random) -> bytes:
    """A WAV file with a header that lies."""
    channels, rate_hz = draw.choice([0, 1, 2, 65_535]), draw.choice([0, 1, 8_000, 2**32 - 1])
    bits, size = draw.choice([0, 8, 16, 24, 32]), draw.choice([0, 100, 2**32 - 1])
    form = struct.pack("<HHIIHH", draw.choice([1, 3, 7, 99]), channels, rate_hz, rate_hz, 2, bits)
    data = draw.randbytes(draw.choice([0, 100, 32_000]))
    return (
        b"RIFF"
        + struct.pack("<I", size)
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + (b"data" + struct.pack("<I", size) + data)
    )


def huge_body(server: RewardServer, findings: Findings) -> None:
    """One gigabyte, with a Content-Length and without."""
    host, port = server.url.removeprefix("http://").split(":")
    for framing in (f"Content-Length: {HUGE_BODY_BYTES}", "Transfer-Encoding: chunked"):
        head = (
            f"POST /v1/score HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {TOKEN}\r\n{framing}\r\n\r\n"
        )
        piece = b" " * 2**20
        chunk = piece if "Length" in framing else b"100000\r\n" + piece + b"\r\n"
        with socket.create_connection((host, int(port)), timeout=60) as sent:
            sent.sendall(head.encode())
            try:
                for _ in range(HUGE_BODY_BYTES // len(piece)):
                    sent.sendall(chunk)
            except OSError:
                pass  # it was answered and closed
            try:
                status = sent.recv(64).split(b" ")[1].decode()
            except (OSError, IndexError):
                status = "closed"
        findings.codes[f"1 GB, {framing.partition(':')[0]} {status}"] += 1
        if status not in ("413", "closed"):
            findings.problems.append(f"1 GB with {framing} was answered with {status}")


def slow_clients(server: RewardServer, count: int, findings: Findings) -> None:
    """Connections that begin a request and never end it, while others are served."""
    host, port = server.url.removeprefix("http://").split(":")
    sockets = [socket.create_connection((host, int(port)), timeout=60) for _ in range(count)]
    for connection in sockets:
        connection.sendall(b"POST /v1/score HTTP/1.1\r\nHost: a\r\nX-Slow: ")
    begin = time.monotonic()
    score(server, utterances(1), TOKEN)
    findings.codes[f"served in {time.monotonic() - begin:.1f} s beside {count} slow clients"] += 1
    for connection in sockets:
        status = connection.recv(64).split(b" ")[1:2]
        findings.codes[f"slow client {b''.join(status).decode()}"] += 1
        if status != [b"408"]:
            findings.problems.append(f"a slow client was answered with {status}")
        connection.close()
    if time.monotonic() - begin > 3 * REQUEST_DEADLINE_S:
        findings.problems.append("slow clients were not left in time")


def main() -> None:
    """Prints what was answered; fails if anything should not have been."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        token = Path(folder) / "token"
        token.write_text(TOKEN)
        server = start(Path(folder), [f"reward.token_file={token}", "reward.batch_size=8"])
        try:
            server.wait_ready()
            begin = time.monotonic()
            findings = fuzz(server, arguments.requests, arguments.seed)
            huge_body(server, findings)
            slow_clients(server, 300, findings)
            seconds = time.monotonic() - begin
        finally:
            server.stop()
    print(f"{arguments.requests} requests in {seconds:.0f} s")
    for answer, count in sorted(findings.codes.items()):
        print(f"  {count:6} {answer}")
    for problem in findings.problems[:20]:
        print(f"PROBLEM {problem}")
    print(f"{len(findings.problems)} problems")
    raise SystemExit(bool(findings.problems))


if __name__ == "__main__":
    main()
