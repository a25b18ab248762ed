"""Storage against real S3 servers over sockets: rclone (SigV4, Content-MD5) and moto (SigV4, IAM,
conditional writes, session tokens), with a faulty network in between."""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from s3_proxy import ProxiedRequest, Proxy, first

from ttsrl.errors import BadInput
from ttsrl.storage.errors import StorageError
from ttsrl.storage.local_s3 import LocalS3
from ttsrl.storage.manifest import MANIFEST
from ttsrl.storage.run_store import RunStore
from ttsrl.storage.storage import open_storage
from ttsrl.storage.transfer import PART_BYTES

FILES = {
    "actor/model.bin": os.urandom(2 * PART_BYTES + 4321),
    "actor/deep/empty": b"",
    "wörter +%&.txt": b"ja",
    "small.json": b"{}",
}
SIZE = sum(map(len, FILES.values()))
BUCKET = "ttsrl"
STATEMENT = {"Effect": "Allow", "Action": ["s3:*", "iam:*"], "Resource": "*"}
POLICY = json.dumps({"Version": "2012-10-17", "Statement": [STATEMENT]})


@dataclass
class S3Process:
    endpoint: str
    key: str
    secret: str

    def client(self, service: str = "s3") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
            region_name="us-east-1",
        )


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    with LocalS3(tmp_path_factory.mktemp("rclone"), BUCKET) as server:
        yield S3Process(server.endpoint, *server._credentials())


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    """moto without signatures until it has its first user: its first four requests."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "4"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None
            time.sleep(0.05)
        root = S3Process(f"http://127.0.0.1:{port}", "any", "any")
        iam = root.client("iam")
        iam.create_user(UserName="trainer")
        iam.put_user_policy(UserName="trainer", PolicyName="all", PolicyDocument=POLICY)
        made = iam.create_access_key(UserName="trainer")["AccessKey"]
        root.client().create_bucket(Bucket=BUCKET)
        yield S3Process(root.endpoint, made["AccessKeyId"], made["SecretAccessKey"])
    finally:
        process.terminate()
        process.wait()


def use(server: S3Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    for name in [n for n in os.environ if n.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret)
    with Proxy(server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


@pytest.fixture
def to_rclone(
    rclone: S3Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Proxy]:
    yield from use(rclone, monkeypatch, tmp_path)


@pytest.fixture
def to_moto(moto: S3Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Proxy]:
    yield from use(moto, monkeypatch, tmp_path)


@pytest.fixture(params=["to_rclone", "to_moto"])
def proxy(request: pytest.FixtureRequest) -> Proxy:
    return request.getfixturevalue(request.param)


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"s3://{BUCKET}/in/{tmp_path.name.lower()}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source", FILES)


def make(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    files = (f for f in folder.rglob("*") if f.is_file())
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in files}


def is_data_put(request: ProxiedRequest) -> bool:
    return request.method == "PUT" and "/p/" in request.path and ".publishing" not in request.path


def is_data_get(request: ProxiedRequest) -> bool:
    return request.method == "GET" and request.range_start is not None


def test_round_trip_and_repetition(proxy: Proxy, root: str, source: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    storage = open_storage(root)
    storage.publish(source, "p", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (SIZE, SIZE)
    assert proxy.sent() < SIZE + 10_000
    assert proxy.count("POST", "uploads") == 1  # the big one, in parts
    written = [r.path for r in proxy.requests if is_data_put(r) or r.method == "POST"]
    assert written[-1].endswith(f"/p/{MANIFEST}")

    proxy.requests.clear()
    open_storage(root).publish(source, "p")
    assert proxy.sent() == 0

    seen.clear()
    storage.pull("p", tmp_path / "pulled", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (SIZE, SIZE)
    assert content(tmp_path / "pulled") == FILES
    assert SIZE < proxy.received() < SIZE + 10_000
    in_parts = [r for r in proxy.requests if is_data_get(r) and "model.bin" in r.path]
    assert {r.range_start for r in in_parts} == {0, PART_BYTES, 2 * PART_BYTES}
    assert len(in_parts) == 3
    assert len({r.headers["if-match"] for r in in_parts}) == 1

    proxy.requests.clear()
    storage.pull("p", tmp_path / "pulled")
    assert not any(map(is_data_get, proxy.requests))

    make(source, {"small.json": b"[]"})
    with pytest.raises(BadInput, match=r"another content \(1 files differ, first small\.json\)"):
        storage.publish(source, "p")


def test_pointers_and_lists(proxy: Proxy, root: str, tmp_path: Path) -> None:
    small = make(tmp_path / "small", {"a": b"a"})
    store = RunStore(root, "quick")
    store.storage.publish(small, store.checkpoint(20))
    store.storage.publish(small, store.checkpoint(100))
    denied = lambda r: r.method == "PUT" and MANIFEST in r.path  # noqa: E731
    proxy.rule = lambda r: setattr(r, "error", (403, "AccessDenied") if denied(r) else None)
    with pytest.raises(BadInput, match="access denied"):
        store.storage.publish(small, store.checkpoint(300))
    proxy.rule = lambda r: None
    assert store.list_checkpoints() == [20, 100]
    assert store.newest_checkpoint() == 100
    assert not store.storage.is_complete(store.checkpoint(300))
    with pytest.raises(StorageError, match="not complete"):
        store.write_latest(300)
    store.write_latest(100)
    assert RunStore(root, "quick").storage.read_json(store.latest) == {
        "step": 100,
        "checkpoint": "runs/quick/checkpoints/step_000100",
    }
    assert store.storage.read_json(store.best) is None
    with pytest.raises(BadInput, match=r"complete there: s3://.*/step_000020, s3://.*/step_000100"):
        store.storage.pull(store.checkpoint(300), tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_connection_cut_in_mid_upload(
    proxy: Proxy, root: str, source: Path, tmp_path: Path
) -> None:
    big = lambda r: is_data_put(r) and r.size > 1_000_000  # noqa: E731
    proxy.rule = first(2, big, lambda r: setattr(r, "cut_after", 500_000))
    storage = open_storage(root)
    storage.publish(source, "p")
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == FILES


def test_upload_that_never_arrives_is_invisible_then_resumed(
    proxy: Proxy, root: str, source: Path, tmp_path: Path
) -> None:
    proxy.rule = lambda r: setattr(
        r, "cut_after", 1000 if is_data_put(r) and r.size > 1_000_000 else None
    )
    storage = open_storage(root)
    with pytest.raises(StorageError, match=r"cannot be reached, or cuts connections .*3 attempts"):
        storage.publish(source, "p")
    assert not storage.is_complete("p")
    with pytest.raises(BadInput, match="nothing complete"):
        storage.pull("p", tmp_path / "pulled")
    make(source, {"wörter +%&.txt": b"nein"})  # a leftover of another content gives way
    proxy.rule = lambda r: None
    storage.publish(source, "p")
    assert sum(r.method == "PUT" and "small.json" in r.path for r in proxy.requests) <= 1
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == content(source)


@pytest.mark.parametrize("flip_big", [True, False])
def test_bytes_that_change_on_the_way_up(
    to_rclone: Proxy, root: str, source: Path, tmp_path: Path, flip_big: bool
) -> None:
    """rclone, because moto verifies no checksum."""
    damaged = lambda r: is_data_put(r) and (r.size > 1_000_000) == flip_big and r.size  # noqa: E731
    to_rclone.rule = first(1, damaged, lambda r: setattr(r, "flip", True))
    storage = open_storage(root)
    storage.publish(source, "p")
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == FILES
    to_rclone.rule = lambda r: setattr(r, "flip", damaged(r))
    with pytest.raises(StorageError, match="arrived damaged 3 times"):
        storage.publish(source, "other/p")
    assert not storage.is_complete("other/p")


@pytest.mark.parametrize("name", ["model.bin", "small.json"])
def test_bytes_that_change_on_the_way_down(
    to_rclone: Proxy, root: str, source: Path, tmp_path: Path, name: str
) -> None:
    damaged = lambda r: is_data_get(r) and name in r.path  # noqa: E731
    storage = open_storage(root)
    storage.publish(source, "p")
    to_rclone.rule = first(1, damaged, lambda r: setattr(r, "flip_answer", True))
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == FILES
    to_rclone.rule = lambda r: setattr(r, "flip_answer", damaged(r))
    with pytest.raises(StorageError, match=r"contradicts its MANIFEST\.json: its SHA-256 is not"):
        storage.pull("p", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_answers_cut_in_mid_body(to_rclone: Proxy, root: str, source: Path, tmp_path: Path) -> None:
    storage = open_storage(root)
    storage.publish(source, "p")
    to_rclone.requests.clear()
    cut = lambda r: setattr(r, "cut_answer_after", 100)  # noqa: E731
    manifest = first(1, lambda r: r.method == "GET" and MANIFEST in r.path, cut)
    data = first(4, is_data_get, cut)
    to_rclone.rule = lambda r: data(r) if is_data_get(r) else manifest(r)
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == FILES
    # Each goes on where it was cut: nothing but the manifest came twice.
    assert to_rclone.received() < SIZE + 10_000


def test_slow_down(to_moto: Proxy, root: str, source: Path, tmp_path: Path) -> None:
    storage = open_storage(root)
    busy = lambda r: setattr(r, "error", (503, "SlowDown"))  # noqa: E731
    to_moto.rule = first(2, is_data_put, busy)
    storage.publish(source, "p")
    to_moto.rule = first(2, is_data_get, busy)
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == FILES
    to_moto.rule = busy
    with pytest.raises(StorageError, match=r"too busy \(SlowDown, 3 attempts\)"):
        storage.pull("p", tmp_path / "other")


def test_server_without_conditional_writes(
    to_moto: Proxy, root: str, source: Path, tmp_path: Path
) -> None:
    def refuse(request: ProxiedRequest) -> None:
        if "if-none-match" in request.headers:
            request.error = (501, "NotImplemented")

    to_moto.rule = refuse
    storage = open_storage(root)
    storage.publish(source, "p")
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == FILES


SECRET = "recognisable-secret-9f3b"
TOKEN = "recognisable-token-5c1d"


@pytest.mark.parametrize(
    "server, settings, message",
    [
        ("to_rclone", {"AWS_SECRET_ACCESS_KEY": SECRET}, "does not belong to the access key id"),
        ("to_moto", {"AWS_SECRET_ACCESS_KEY": SECRET}, "does not belong to the access key id"),
        ("to_moto", {"AWS_ACCESS_KEY_ID": "nobody"}, "does not know the access key id"),
        ("to_moto", {"AWS_SESSION_TOKEN": TOKEN}, "session token is not valid"),
        ("to_moto", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "no credentials"),
        ("to_moto", {"AWS_SECRET_ACCESS_KEY": ""}, "half of the credentials|no credentials"),
        ("to_moto", {"AWS_PROFILE": "nobody"}, "AWS_PROFILE names a profile"),
        ("to_moto", {"AWS_MAX_ATTEMPTS": "many"}, "AWS_MAX_ATTEMPTS is 'many'"),
        ("to_moto", {"AWS_ENDPOINT_URL": "no url"}, "AWS_ENDPOINT_URL is no URL"),
    ],
)
def test_credentials_that_are_refused(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, root: str, tmp_path: Path,
    server: str, settings: dict[str, str], message: str,
) -> None:  # fmt: skip
    request.getfixturevalue(server)
    for name, value in settings.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    # A HEAD request is answered without a code: there the message is more general.
    of_head = f"{message}|refused the credentials|access denied"
    for act, expected in (
        (lambda storage: storage.pull("p", tmp_path / "pulled"), message),
        (lambda storage: storage.publish(make(tmp_path / "s", {"a": b"a"}), "p"), message),
        (lambda storage: storage.list_complete(), message),
        (lambda storage: storage.is_complete("p"), of_head),
    ):
        with pytest.raises(BadInput, match=expected) as caught:
            act(open_storage(root))
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in shown
        assert TOKEN not in shown


def test_expired_token(to_moto: Proxy, root: str, tmp_path: Path) -> None:
    to_moto.rule = lambda r: setattr(r, "error", (400, "ExpiredToken"))
    with pytest.raises(BadInput, match="the session token has expired"):
        open_storage(root).pull("p", tmp_path / "pulled")


def test_missing_bucket(proxy: Proxy, source: Path, tmp_path: Path) -> None:
    storage = open_storage("s3://no-such-bucket/x")
    with pytest.raises(BadInput, match="no bucket 'no-such-bucket'"):
        storage.publish(source, "p")
    with pytest.raises(BadInput, match="no bucket 'no-such-bucket'"):
        storage.pull("p", tmp_path / "pulled")


def test_access_denied(
    to_moto: Proxy, moto: S3Process, root: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = moto.client("iam")
    iam.create_user(UserName="unknown")
    made = iam.create_access_key(UserName="unknown")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", made["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", made["SecretAccessKey"])
    with pytest.raises(BadInput, match=r"access denied to s3://.*may not GetObject"):
        open_storage(root).publish(source, "p")


def test_unreachable(
    to_moto: Proxy, root: str, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:{SECRET}@127.0.0.1:{port}")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StorageError, match=f"127.0.0.1:{port} cannot be reached") as caught:
        open_storage(root).publish(source, "p")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.fixture
def rotating(
    to_moto: Proxy, moto: S3Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[str, Callable[[], object]]]:
    """Makes a key of a user whose credentials lie in a file: (its id, what writes the file)."""
    iam = moto.client("iam")
    iam.create_user(UserName=tmp_path.name)
    iam.put_user_policy(UserName=tmp_path.name, PolicyName="all", PolicyDocument=POLICY)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    def make_key() -> tuple[str, Callable[[], object]]:
        made = iam.create_access_key(UserName=tmp_path.name)["AccessKey"]
        text = (
            f"[default]\naws_access_key_id = {made['AccessKeyId']}\n"
            f"aws_secret_access_key = {made['SecretAccessKey']}\n"
        )
        return made["AccessKeyId"], lambda: (tmp_path / "credentials").write_text(text)

    return make_key


def test_credentials_that_rotate(
    rotating: Callable[[], tuple[str, Callable[[], object]]],
    moto: S3Process,
    root: str,
    tmp_path: Path,
) -> None:
    """An open storage reads a rotated credentials file when the old credentials are refused."""
    old, write_old = rotating()
    write_old()
    storage = open_storage(root)
    storage.write_json("a.json", {"n": 1})
    rotating()[1]()
    moto.client("iam").delete_access_key(UserName=tmp_path.name, AccessKeyId=old)
    storage.publish(make(tmp_path / "source", {"a": b"a", "b": b"b"}), "p")
    assert storage.is_complete("p")


def test_credentials_withdrawn_before_their_successors_arrive(
    rotating: Callable[[], tuple[str, Callable[[], object]]],
    moto: S3Process,
    root: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kubelet brings a changed Secret minutes after it was changed: publishing waits for it."""
    monkeypatch.setattr("ttsrl.storage.s3.ROTATION_POLL_S", 0.01)
    old, write_old = rotating()
    write_old()
    storage = open_storage(root)
    storage.write_json("a.json", {"n": 1})
    moto.client("iam").delete_access_key(UserName=tmp_path.name, AccessKeyId=old)
    _, write_new = rotating()

    class Arrives(logging.Handler):
        """The new file comes once the old credentials were refused, read again, and refused."""

        def emit(self, record: logging.LogRecord) -> None:
            assert "waiting for renewed ones" in record.getMessage()
            write_new()

    arrives = Arrives()
    log = logging.getLogger("ttsrl.storage.s3")
    log.addHandler(arrives)
    try:
        assert not storage.is_complete("p")  # a HEAD, whose answer says nothing but 403
        storage.publish(make(tmp_path / "source", {"a": b"a", "b": b"b"}), "p")
    finally:
        log.removeHandler(arrives)
    assert storage.is_complete("p")


def test_credentials_withdrawn_for_good_are_an_error_once_the_wait_is_over(
    rotating: Callable[[], tuple[str, Callable[[], object]]],
    moto: S3Process,
    root: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("ttsrl.storage.s3.ROTATION_POLL_S", 0.01)
    monkeypatch.setattr("ttsrl.storage.s3.ROTATION_WAIT_S", 0.1)
    key, write = rotating()
    write()
    storage = open_storage(root)
    storage.write_json("a.json", {"n": 1})
    moto.client("iam").delete_access_key(UserName=tmp_path.name, AccessKeyId=key)
    with pytest.raises(BadInput, match="does not know the access key id"):
        storage.write_json("b.json", {"n": 2})


PULL = (
    "import sys, pathlib; from ttsrl.storage.storage import open_storage; "
    "open_storage(sys.argv[1]).pull('p', pathlib.Path(sys.argv[2]))"
)


def kill_in_mid_pull(proxy: Proxy, root: str, folder: Path) -> None:
    """kill -9 a pull whose first two parts of the big file have arrived, and no other."""
    release = threading.Event()

    def hold(request: ProxiedRequest) -> None:
        if is_data_get(request) and request.range_start == 2 * PART_BYTES:
            request.before = release.wait

    proxy.rule = hold
    process = subprocess.Popen([sys.executable, "-c", PULL, root, str(folder)])
    journal = folder.with_name(f".{folder.name}.pulling") / "journal.jsonl"
    while not journal.exists() or journal.read_text().count("actor/model.bin") < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    release.set()
    proxy.rule = lambda r: None
    proxy.requests.clear()


def test_killed_pull_fetches_only_what_is_missing(
    to_moto: Proxy, root: str, source: Path, tmp_path: Path
) -> None:
    open_storage(root).publish(source, "p")
    folder = tmp_path / "pulled"
    kill_in_mid_pull(to_moto, root, folder)
    assert not folder.exists()
    seen: list[tuple[int, int]] = []
    open_storage(root).pull("p", folder, lambda done, total: seen.append((done, total)))
    assert content(folder) == FILES
    assert seen[-1] == (SIZE, SIZE)
    big = [r for r in to_moto.requests if is_data_get(r) and "model.bin" in r.path]
    assert [(r.range_start, r.received) for r in big] == [(2 * PART_BYTES, 4321)]
    assert not folder.with_name(".pulled.pulling").exists()


@pytest.mark.parametrize("same_content", [True, False])
def test_object_that_changes_under_a_resumed_pull(
    to_moto: Proxy, moto: S3Process, root: str, source: Path, tmp_path: Path, same_content: bool
) -> None:
    open_storage(root).publish(source, "p")
    folder = tmp_path / "pulled"
    kill_in_mid_pull(to_moto, root, folder)
    data = FILES["actor/model.bin"] if same_content else FILES["actor/model.bin"][::-1]
    key = f"{root.removeprefix(f's3://{BUCKET}/')}/p/actor/model.bin"
    moto.client().put_object(Bucket=BUCKET, Key=key, Body=data)  # in one part: another ETag
    if same_content:
        open_storage(root).pull("p", folder)
        assert content(folder) == FILES
        big = [r for r in to_moto.requests if is_data_get(r) and "model.bin" in r.path]
        assert sum(r.received for r in big) == len(data)  # all parts, the old ones are dropped
    else:
        with pytest.raises(StorageError, match=r"model\.bin contradicts its MANIFEST\.json"):
            open_storage(root).pull("p", folder)
        assert not folder.exists()


def test_object_that_changes_during_a_pull(
    proxy: Proxy, root: str, source: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Parts of two versions are never joined: by If-Match, or else by the manifest."""
    open_storage(root).publish(source, "p")
    server: S3Process = request.getfixturevalue(
        "moto" if "moto" in request.node.callspec.id else "rclone"
    )
    key = f"{root.removeprefix(f's3://{BUCKET}/')}/p/actor/model.bin"
    swapped = FILES["actor/model.bin"][::-1]

    def swap() -> None:
        server.client().put_object(Bucket=BUCKET, Key=key, Body=swapped)

    proxy.rule = first(
        1,
        lambda r: is_data_get(r) and r.range_start == PART_BYTES,
        lambda r: setattr(r, "before", swap),
    )
    with pytest.raises(StorageError, match=r"model\.bin contradicts its MANIFEST\.json"):
        open_storage(root).pull("p", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_identical_publishers_at_the_same_time(
    proxy: Proxy, root: str, source: Path, tmp_path: Path
) -> None:
    proxy.rule = first(
        1,
        is_data_put,
        lambda r: setattr(r, "before", lambda: open_storage(root).publish(source, "p")),
    )
    open_storage(root).publish(source, "p")
    open_storage(root).pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == FILES


@pytest.mark.parametrize("moment", ["wörter", "model.bin", "uploadId=", MANIFEST])
def test_a_publisher_that_is_overtaken(
    to_moto: Proxy, root: str, source: Path, tmp_path: Path, moment: str
) -> None:
    """Another content is published from start to end while one write of the first is in flight."""
    other = make(tmp_path / "other", {n: d[::-1] + b"!" for n, d in FILES.items()})
    to_moto.rule = first(
        1,
        lambda r: r.method in ("PUT", "POST") and moment in r.path and "/p/" in r.path,
        lambda r: setattr(r, "before", lambda: open_storage(root).publish(other, "p")),
    )
    with pytest.raises(BadInput, match="already published with another content"):
        open_storage(root).publish(source, "p")
    open_storage(root).pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == content(other)


def test_a_publisher_that_finds_a_newer_claim_writes_no_manifest(
    to_moto: Proxy, root: str, tmp_path: Path
) -> None:
    """The second publisher has claimed the prefix, and is held before it writes its only file."""
    one = make(tmp_path / "one", {"file": b"one"})
    two = make(tmp_path / "two", {"file": b"two"})
    second_has_claimed, first_is_out = threading.Event(), threading.Event()
    second = threading.Thread(target=lambda: open_storage(root).publish(two, "p"))

    def rule(request: ProxiedRequest) -> None:
        if not is_data_put(request) or first_is_out.is_set():
            return
        if second.ident is None:  # the file of the first
            request.before = lambda: (second.start(), second_has_claimed.wait())
        else:
            second_has_claimed.set()
            request.before = first_is_out.wait

    to_moto.rule = rule
    with pytest.raises(StorageError, match="another publisher took over"):
        open_storage(root).publish(one, "p")
    assert to_moto.count("PUT", MANIFEST) == 0
    first_is_out.set()
    second.join()
    open_storage(root).pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == {"file": b"two"}


def test_a_claim_that_comes_with_the_manifest(
    to_moto: Proxy, root: str, source: Path, tmp_path: Path
) -> None:
    """The second publisher has looked for a manifest just before the first one writes it."""
    other = make(tmp_path / "other", {n: d[::-1] + b"!" for n, d in FILES.items()})
    second_is_in, first_is_out = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def publish_other() -> None:
        try:
            open_storage(root).publish(other, "p")
        except BaseException as error:
            errors.append(error)

    second = threading.Thread(target=publish_other)

    def rule(request: ProxiedRequest) -> None:
        if second_is_in.is_set():
            return
        if second.ident is not None and request.method == "DELETE":
            # The second removes a file of the first: it found no manifest.
            second_is_in.set()
            request.before = first_is_out.wait
        elif second.ident is None and request.method == "PUT" and MANIFEST in request.path:
            request.before = lambda: (second.start(), second_is_in.wait())

    to_moto.rule = rule
    with pytest.raises(StorageError, match="another publisher took over"):
        open_storage(root).publish(source, "p")
    first_is_out.set()
    second.join()
    assert errors == []
    open_storage(root).pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == content(other)


def test_no_secret_is_written_anywhere(
    to_moto: Proxy, moto: S3Process, root: str, source: Path, tmp_path: Path,
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    shown: list[str] = []

    def attempt(act: Callable[[], object]) -> None:
        try:
            act()
        except (BadInput, StorageError) as error:
            shown.extend(traceback.format_exception(error))

    monkeypatch.setattr("ttsrl.storage.s3.ROTATION_WAIT_S", 0.1)
    with caplog.at_level(logging.DEBUG):
        storage = open_storage(root)
        storage.publish(source, "p")
        storage.pull("p", tmp_path / "pulled")
        attempt(lambda: storage.pull("none", tmp_path / "none"))
        to_moto.rule = lambda r: setattr(r, "error", (403, "SignatureDoesNotMatch"))
        attempt(lambda: storage.pull("p", tmp_path / "again"))
        to_moto.rule = lambda r: None
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        attempt(lambda: open_storage(root).publish(source, "with-token"))
    assert len(shown) >= 3
    storage_files = tmp_path / "storage"
    moto_client = moto.client()
    for entry in moto_client.list_objects_v2(Bucket=BUCKET)["Contents"]:
        body = moto_client.get_object(Bucket=BUCKET, Key=entry["Key"])["Body"].read()
        make(storage_files, {entry["Key"]: body})
    written = [f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()]
    everything = [*written, caplog.text.encode(), "".join(shown).encode()]
    for secret in (moto.secret, TOKEN):
        assert not any(secret.encode() in text for text in everything)


def test_local_server_keeps_objects_and_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another-server's")
    small = make(tmp_path / "small", {"a": b"a"})
    with LocalS3(tmp_path) as server:
        secret = server._credentials()[1]
        environment = server.environment(os.environ)
        assert secret not in environment.values()
        assert server.credentials_file.stat().st_mode & 0o777 == 0o600
        command = "import sys, pathlib; from ttsrl.storage.storage import open_storage; "
        command += "open_storage(sys.argv[1]).publish(pathlib.Path(sys.argv[2]), 'p')"
        subprocess.run(
            [sys.executable, "-c", command, server.root, str(small)], env=environment, check=True
        )
        endpoint = server.endpoint
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(endpoint.rpartition(":")[2]))) != 0
    with LocalS3(tmp_path) as server:
        environment = server.environment(os.environ)
        subprocess.run(
            [sys.executable, "-c", PULL, server.root, str(tmp_path / "pulled")],
            env=environment,
            check=True,
        )
        # Only the credentials file knows the secret, and no process shows it among its arguments.
        arguments = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True).stdout
        assert secret.encode() not in arguments
    assert content(tmp_path / "pulled") == {"a": b"a"}
    holders = [f.name for f in tmp_path.rglob("*") if f.is_file() and secret in f.read_text()]
    assert holders == ["s3-credentials.ini"]


def test_local_server_ends_with_its_parent(tmp_path: Path) -> None:
    code = "import os, sys, pathlib, time; from ttsrl.storage.local_s3 import LocalS3\n"
    code += "with LocalS3(pathlib.Path(sys.argv[1])) as server:\n"
    code += "    print(server.endpoint, flush=True); time.sleep(600)"
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline().rpartition(":")[2])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                break
        assert time.monotonic() < deadline, "the server outlives its parent"
        time.sleep(0.02)


def test_local_server_without_rclone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="needs rclone"), LocalS3(tmp_path):
        pass
