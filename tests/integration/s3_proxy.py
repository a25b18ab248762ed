"""A network between boto3 and a real S3 server, with the faults that networks and servers have."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>no matter</Message></Error>"


@dataclass
class ProxiedRequest:
    """One request on its way; a rule reads it and says what becomes of it."""

    method: str
    path: str
    headers: dict[str, str]
    size: int
    before: Callable[[], object] | None = None
    """Done before the request goes on to the server."""
    cut_after: int | None = None
    """The connection breaks after this many bytes of the request's body."""
    cut_answer_after: int | None = None
    """The connection breaks after this many bytes of the answer's body."""
    flip: bool = False
    """One bit of the request's body changes."""
    flip_answer: bool = False
    """One bit of the answer's body changes."""
    error: tuple[int, str] | None = None
    """HTTP status and S3 code of an answer that does not come from the server."""
    page: tuple[int, str] | None = None
    """HTTP status and text of an answer that a web server gives in its place."""
    received: int = 0
    """Bytes of the answer's body that were sent on."""

    @property
    def range_start(self) -> int | None:
        """First byte that is asked for, in a ranged GET."""
        text = self.headers.get("range", "")
        return int(text.removeprefix("bytes=").split("-")[0]) if text else None


@dataclass
class Proxy:
    """Serves on `endpoint` until the `with` block ends; `rule` may be changed at any time."""

    upstream: str
    rule: Callable[[ProxiedRequest], None] = lambda request: None
    requests: list[ProxiedRequest] = field(default_factory=list)

    def __enter__(self) -> Proxy:
        proxy = self

        class ProxyHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.close_connection = True
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def do_GET(self) -> None:
                proxy.handle(self)

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), ProxyHandler)
        self.server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def count(self, method: str, part: str = "") -> int:
        """Requests with this method and this in the path."""
        return sum(r.method == method and part in r.path for r in self.requests)

    def received(self) -> int:
        """Bytes of all answers' bodies to GET requests."""
        return sum(r.received for r in self.requests if r.method == "GET")

    def sent(self) -> int:
        """Bytes of all requests' bodies."""
        return sum(r.size for r in self.requests)

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        size = int(headers.get("content-length", 0))
        request = ProxiedRequest(handler.command, unquote(handler.path), headers, size)
        self.requests.append(request)
        self.rule(request)
        if request.cut_after is not None:
            handler.rfile.read(request.cut_after)
            handler.close_connection = True
            return
        body = bytearray(handler.rfile.read(size))
        if request.flip and body:
            body[len(body) // 2] ^= 1
        if request.before is not None:
            request.before()
        if request.error is not None:
            status, code = request.error
            self.answer(handler, request, status, {}, ERROR.format(code).encode())
            return
        if request.page is not None:
            status, text = request.page
            kind = {"Content-Type": "text/html", "ETag": '"5f3a"'}
            self.answer(handler, request, status, kind, text.encode())
            return
        connection = http.client.HTTPConnection(self.upstream.removeprefix("http://"))
        connection.putrequest(
            handler.command, handler.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in handler.headers.items():
            if name.lower() != "expect":
                connection.putheader(name, value)
        connection.endheaders(bytes(body))
        answer = connection.getresponse()
        self.answer(handler, request, answer.status, dict(answer.getheaders()), answer.read())
        connection.close()

    def answer(
        self,
        handler: BaseHTTPRequestHandler,
        request: ProxiedRequest,
        status: int,
        headers: dict[str, str],
        body: bytes,
    ) -> None:
        """Send an answer on, whole or in part."""
        headers = {n: v for n, v in headers.items() if n.lower() != "transfer-encoding"}
        if request.method != "HEAD":
            headers = {n: v for n, v in headers.items() if n.lower() != "content-length"}
            headers["Content-Length"] = str(len(body))
        if request.flip_answer and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        handler.send_response_only(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        part = body[: request.cut_answer_after]
        handler.wfile.write(part)
        handler.wfile.flush()
        request.received = len(part)
        handler.close_connection = len(part) < len(body)


def first(
    times: int, chosen: Callable[[ProxiedRequest], bool], fault: Callable[[ProxiedRequest], None]
) -> Callable[[ProxiedRequest], None]:
    """A rule: the first so many chosen requests meet the fault."""
    lock = threading.Lock()
    left = times

    def rule(request: ProxiedRequest) -> None:
        nonlocal left
        if chosen(request):
            with lock:
                left -= 1
                if left < 0:
                    return
            fault(request)

    return rule
