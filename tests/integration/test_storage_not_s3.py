"""Endpoints that are no S3, and what stands between us and one: web servers, consoles, proxies."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from s3_proxy import ProxiedRequest, Proxy, first

from ttsrl.cli.app import main
from ttsrl.errors import BadInput
from ttsrl.storage.errors import StorageError
from ttsrl.storage.local_s3 import LocalS3
from ttsrl.storage.s3_answers import NotS3Error, watch
from ttsrl.storage.storage import Storage, open_storage

Answer = tuple[int, dict[str, str], bytes]
PAGE = b"<!doctype html><title>Console</title>"
HTML = {"Content-Type": "text/html; charset=utf-8", "ETag": '"5f3a"'}
STRANGERS: dict[str, tuple[Answer, str]] = {
    "moved to https": (
        (301, {"Location": "https://s3.test:9/b?X-Amz-Signature=s"}, b""),
        "https://s3.test:9;",
    ),
    "login": ((302, {"Location": "/login"}, b""), "HTTP 302"),
    "moved, method kept": ((307, {"Location": "http://127.0.0.1:1/"}, b""), "HTTP 307"),
    "moved for ever": ((308, {"Location": "http://127.0.0.1:1/"}, PAGE), "HTTP 308"),
    "console": ((200, HTML, PAGE), "HTTP 200 and 37 bytes of text/html"),
    "nothing": ((200, {}, b""), "HTTP 200"),
    "JSON": ((200, {"ETag": '"1"'}, b'{"files": {}}'), "HTTP 200 and 13 bytes"),
    "half of an XML": ((200, {"ETag": '"1"'}, b"<?xml"), "HTTP 200"),
    "TLS port": ((400, {}, b"Client sent an HTTP request to an HTTPS server."), "wants https"),
    "password": ((401, {"WWW-Authenticate": "Basic"}, b"no"), "HTTP 401"),
    "forbidden": ((403, HTML, PAGE), "HTTP 403"),
    "not found": ((404, {"Content-Type": "text/plain"}, b"404 page not found"), "HTTP 404"),
    "no such method": ((405, {}, PAGE), "HTTP 405"),
    "too large": ((413, HTML, PAGE), "HTTP 413"),
}
COMMANDS: dict[str, Callable[[Storage, Path], object]] = {
    "list": lambda storage, _: storage.list_complete("runs"),
    "ask": lambda storage, _: storage.is_complete("runs/a"),
    "read": lambda storage, _: storage.read_json("a.json"),
    "write": lambda storage, _: storage.write_json("a.json", {}),
    "delete": lambda storage, _: storage.delete("a.json"),
    "publish": lambda storage, folder: storage.publish(folder, "a"),
    "pull": lambda storage, folder: storage.pull("a", folder / "pulled"),
}


class StrangerHandler(BaseHTTPRequestHandler):
    """Answers everything with the same."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        asked: list[str] = self.server.asked  # pyright: ignore[reportAttributeAccessIssue]
        asked.append(self.command)
        status, headers, body = self.server.answer  # pyright: ignore[reportAttributeAccessIssue]
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "the-secret",
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "2",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], list[str]]]:
    """Gives a server of an answer; returns the methods that it is asked with."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), StrangerHandler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")

    def answering(answer: Answer) -> list[str]:
        asked: list[str] = []
        vars(server).update(answer=answer, asked=asked)
        return asked

    yield answering
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", STRANGERS)
def test_an_endpoint_that_is_not_s3_is_told_at_the_first_contact(
    stranger: Callable[[Answer], list[str]], kind: str, command: str, tmp_path: Path
) -> None:
    answer, said = STRANGERS[kind]
    asked = stranger(answer)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(BadInput) as refused:
        COMMANDS[command](open_storage("s3://bucket/prefix"), tmp_path)
    message = str(refused.value)
    assert "is not an S3 endpoint" in message
    assert said in message
    assert asked == ["GET"]  # once, and nothing was written
    for never in ("delete", "Signature", "the-secret", "Traceback"):
        assert never not in message


@pytest.mark.parametrize(
    ("operation", "answer", "is_s3"),
    [
        ("head_object", (301, {}, b""), False),
        ("head_object", (301, {"x-amz-bucket-region": "eu-west-1"}, b""), True),
        ("head_object", (404, {}, b""), True),
        ("get_object", (304, {}, b""), True),
        ("get_object", (200, {}, b"x"), False),
        ("get_object", (404, {}, b"gone"), False),
        ("get_object", (404, {}, b"<Error><Code>NoSuchKey</Code></Error>"), True),
        ("put_object", (304, {}, b""), False),
        ("put_object", (200, {}, b""), False),
    ],
)
def test_any_later_answer_is_told_from_one_of_s3(
    stranger: Callable[[Answer], list[str]], operation: str, answer: Answer, is_s3: bool
) -> None:
    stranger(answer)
    client = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    watch(client)
    with pytest.raises((NotS3Error, ClientError)) as refused:
        getattr(client, operation)(Bucket="bucket", Key="a")
    assert isinstance(refused.value, ClientError) == is_s3


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_that_is_not_up_yet_may_be_one(
    stranger: Callable[[Answer], list[str]], status: int, tmp_path: Path
) -> None:
    asked = stranger((status, HTML, PAGE))
    (tmp_path / "file").write_bytes(b"x")
    for command in COMMANDS.values():
        with pytest.raises(StorageError, match="2 attempts"):
            command(open_storage("s3://bucket/prefix"), tmp_path)
    assert len(asked) == 2 * len(COMMANDS)


def test_a_command_ends_with_one_line(
    stranger: Callable[[Answer], list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stranger(STRANGERS["moved to https"][0])
    file = tmp_path / "run.json"
    run = json.loads(Path("examples/tiny/run.json").read_text())
    file.write_text(json.dumps(run | {"storage": "s3://bucket/prefix"}))
    of_run = ["--config", str(file), "--work-dir", str(tmp_path / "work")]
    address = "s3://bucket/prefix/runs/tiny"
    for command in (
        ["job", "merge", *of_run],
        ["job", "eval-reduce", *of_run, "--of", "1"],
        ["job", "check", "storage", "--config", str(file)],
        ["pull", address, "--to", str(tmp_path / "pulled")],
        ["pull", address, "--to", str(tmp_path / "pulled"), "--best"],
        ["say", "hello", "--model", address, "--out", str(tmp_path / "a.wav")],
        ["compare", f"{address}/eval/held_out/step_000000", address + "/eval/held_out/step_000008"],
    ):
        monkeypatch.setattr("sys.argv", ["ttsrl", *command])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr().err
        assert (ended.value.code, told.count("\n")) == (2, 1), (command, told)
        assert "is not an S3 endpoint" in told, (command, told)


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with LocalS3(tmp_path / "s3", "ttsrl") as server, Proxy(server.endpoint) as between:
        key, secret = server._credentials()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.endpoint)
        yield between


def page(status: int, text: str = PAGE.decode()) -> Callable[[ProxiedRequest], None]:
    return lambda request: setattr(request, "page", (status, text))


def test_a_small_write_that_arrives_damaged_is_repeated(proxy: Proxy) -> None:
    storage = open_storage("s3://ttsrl/p")
    put = lambda r: r.method == "PUT"  # noqa: E731
    proxy.rule = first(1, put, lambda r: setattr(r, "flip", True))
    storage.write_json("a.json", {"a": 1})
    assert storage.read_json("a.json") == {"a": 1}
    proxy.rule = lambda r: setattr(r, "flip", put(r))
    with pytest.raises(StorageError, match="arrived damaged 2 times"):
        storage.write_text("b.txt", "text")
    proxy.rule = lambda r: None
    assert storage.read_text("b.txt") is None


def test_a_proxy_that_limits_a_body_is_told_with_its_size(proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(bytes(3_000_000))
    storage = open_storage("s3://ttsrl/p")
    proxy.rule = lambda r: page(413)(r) if r.size > 1_000_000 else None
    with pytest.raises(StorageError, match=r"refuses 3000000 bytes in one request.*max_body_size"):
        storage.publish(tmp_path / "folder", "a")
    assert not storage.is_complete("a")


def test_nobody_is_told_to_delete_because_of_a_page_that_came_instead(
    proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"x")
    storage = open_storage("s3://ttsrl/p")
    storage.publish(tmp_path / "folder", "a")
    storage.write_json("a.json", {"a": 1})
    proxy.rule = lambda r: page(200)(r) if r.method == "GET" and "list-type" not in r.path else None
    for ask in (
        lambda: storage.read_json("a.json"),
        lambda: storage.pull("a", tmp_path / "pulled"),
        lambda: storage.publish(tmp_path / "folder", "a"),
    ):
        with pytest.raises(StorageError, match="something between answers instead of it") as told:
            ask()
        assert "delete" not in str(told.value)
    proxy.rule = lambda r: page(404)(r) if r.method == "GET" and "list-type" not in r.path else None
    with pytest.raises(StorageError, match=r"a proxy before .* nothing is known of the object"):
        storage.read_json("a.json")
    proxy.rule = lambda r: page(200)(r) if "/file" in r.path and r.method == "GET" else None
    with pytest.raises(StorageError, match="contradicts its MANIFEST") as told:
        storage.pull("a", tmp_path / "pulled")
    assert "delete" not in str(told.value)
    proxy.rule = lambda r: None
    storage.write_text("a.json", "no JSON")
    with pytest.raises(StorageError, match=r"a\.json is not a JSON object; delete it"):
        storage.read_json("a.json")
    storage.pull("a", tmp_path / "pulled")


def test_a_file_of_storage_that_cannot_be_read_as_text_is_named(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError, match=r"a\.json is not UTF-8 at byte 0"):
        storage.read_text("a.json")
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(StorageError, match=r"a\.json is not a JSON object"):
        storage.read_json("a.json")
