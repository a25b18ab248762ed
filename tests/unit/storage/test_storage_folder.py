"""Storage in a plain folder: publish, pull, manifests, a full disk."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ttsrl.errors import BadInput
from ttsrl.records.best import BestModel
from ttsrl.storage.errors import StorageError
from ttsrl.storage.journal import Journal
from ttsrl.storage.manifest import MANIFEST
from ttsrl.storage.run_store import RunStore
from ttsrl.storage.storage import Storage, open_storage
from ttsrl.storage.transfer import PART_BYTES

BIG = os.urandom((2 << 20) + 4321)
FILES = {"actor/model.bin": BIG, "actor/deep/empty": b"", "wörter +%&.txt": b"ja", ".hidden": b"h"}


def make(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {
        f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()
    }


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "storage"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make(tmp_path / "source")


def test_round_trip_with_progress(storage: Storage, tmp_path: Path) -> None:
    files = {**FILES, "in/parts.bin": os.urandom(2 * PART_BYTES + 4321)}
    source = make(tmp_path / "source", files)
    seen: list[tuple[int, int]] = []
    storage.publish(source, "a/b", lambda done, total: seen.append((done, total)))
    total = sum(map(len, files.values()))
    assert seen[-1] == (total, total)
    seen.clear()
    storage.pull("a/b", tmp_path / "pulled", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (total, total)
    assert content(tmp_path / "pulled") == files
    manifest = json.loads((tmp_path / "storage/a/b" / MANIFEST).read_bytes())
    assert list(manifest["files"]) == sorted(files)
    sizes = {path: entry["size"] for path, entry in manifest["files"].items()}
    assert sizes == {path: len(data) for path, data in files.items()}
    hashes = {path: entry["sha256"] for path, entry in manifest["files"].items()}
    assert hashes == {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}
    # Nothing but the published files and the manifest remains, here or there.
    assert content(tmp_path / "storage/a/b").keys() == {*files, MANIFEST}
    assert {p.name for p in tmp_path.iterdir()} == {"source", "storage", "pulled"}


def test_publishing_again_writes_nothing(storage: Storage, source: Path, tmp_path: Path) -> None:
    storage.publish(source, "p")
    before = {p: p.stat().st_ctime_ns for p in (tmp_path / "storage").rglob("*")}
    storage.publish(source, "p")
    assert {p: p.stat().st_ctime_ns for p in (tmp_path / "storage").rglob("*")} == before


def test_interrupted_publish_is_invisible_then_resumed(
    storage: Storage, source: Path, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(done: int, total: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        storage.publish(source, "p", kill)
    assert not storage.is_complete("p")
    assert storage.list_complete() == []
    with pytest.raises(BadInput, match="nothing complete"):
        storage.pull("p", tmp_path / "pulled")
    storage.publish(source, "p")
    (tmp_path / "storage/p" / MANIFEST).unlink()  # as if killed just before the end
    written = {f: f.stat().st_ino for f in (tmp_path / "storage/p").rglob("*")}
    storage.publish(source, "p")
    assert {f: f.stat().st_ino for f in written} == written
    assert storage.list_complete() == ["p"]


def test_another_content_is_refused_and_changes_nothing(
    storage: Storage, source: Path, tmp_path: Path
) -> None:
    storage.publish(source, "p")
    make(source, {".hidden": b"x"})
    with pytest.raises(BadInput, match=r"another content \(1 files differ, first \.hidden\)"):
        storage.publish(source, "p")
    assert content(tmp_path / "storage/p")[".hidden"] == b"h"


def test_leftovers_of_an_unfinished_publish_are_replaced(
    storage: Storage, source: Path, tmp_path: Path
) -> None:
    make(tmp_path / "storage/p", {".hidden": b"old", "actor/model.bin": BIG[:-1] + b"?"})
    storage.publish(source, "p")
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == FILES


@pytest.mark.parametrize("same", [True, False])
def test_a_publisher_that_is_overtaken(
    storage: Storage, source: Path, tmp_path: Path, same: bool
) -> None:
    """A second publisher runs from start to end while the first one is in mid-file."""
    files = FILES if same else {name: data[::-1] + b"!" for name, data in FILES.items()}
    other = make(tmp_path / "other", files)
    overtaken = threading.Event()

    def overtake(done: int, total: int) -> None:
        if not overtaken.is_set():
            overtaken.set()
            open_storage(storage.address()).publish(other, "p")

    if same:
        storage.publish(source, "p", overtake)
    else:
        with pytest.raises(BadInput, match="another content"):
            storage.publish(source, "p", overtake)
    assert overtaken.is_set()
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled") == content(other)
    assert content(tmp_path / "storage/p").keys() == {*FILES, MANIFEST}


def test_a_killed_publisher_leaves_no_litter(
    storage: Storage, source: Path, tmp_path: Path
) -> None:
    make(tmp_path / "storage/p", {"actor/.model.bin.0123456789abcdef.tmp": b"half"})
    storage.publish(source, "p")
    assert content(tmp_path / "storage/p").keys() == {*FILES, MANIFEST}


def test_a_file_written_to_while_it_is_published(storage: Storage, source: Path) -> None:
    def write(done: int, total: int) -> None:
        with (source / "actor/model.bin").open("ab") as file:
            file.write(b"more")

    with pytest.raises(BadInput, match=r"model\.bin changed while it was published"):
        storage.publish(source, "p", write)
    assert not storage.is_complete("p")


@pytest.mark.parametrize("name", [MANIFEST, ".publishing"])
def test_reserved_names(storage: Storage, source: Path, name: str) -> None:
    make(source, {name: b"{}"})
    with pytest.raises(BadInput, match="rename it"):
        storage.publish(source, "p")


def test_what_cannot_be_published(storage: Storage, source: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="not a folder"):
        storage.publish(tmp_path / "none", "p")
    with pytest.raises(BadInput, match="no files"):
        (tmp_path / "empty/er").mkdir(parents=True)
        storage.publish(tmp_path / "empty", "p")
    (source / "loop").symlink_to(source)
    with pytest.raises(BadInput, match="loop is a link to a folder"):
        storage.publish(source, "p")
    (source / "loop").unlink()
    (source / "dangling").symlink_to(tmp_path / "none")
    with pytest.raises(BadInput, match="dangling is not a regular file"):
        storage.publish(source, "p")
    (source / "dangling").unlink()
    (source / "link").symlink_to(source / ".hidden")
    storage.publish(source, "p")
    storage.pull("p", tmp_path / "pulled")
    assert content(tmp_path / "pulled")["link"] == b"h"


@pytest.mark.parametrize(
    "path", ["../evil", "/tmp/evil", "a/../../evil", "a//b", "./a", "", MANIFEST, "a/", "a\0b"]
)
def test_unsafe_manifests_are_refused(storage: Storage, tmp_path: Path, path: str) -> None:
    entry = {"size": 4, "sha256": hashlib.sha256(b"evil").hexdigest()}
    make(tmp_path / "storage", {"p/a": b"evil", "evil": b"evil"})
    (tmp_path / "storage/p" / MANIFEST).write_text(json.dumps({"files": {path: entry}}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="unsafe path"):
        storage.pull("p", tmp_path / "pulled")
    assert sorted(tmp_path.rglob("*")) == before


def test_damaged_manifest(storage: Storage, tmp_path: Path) -> None:
    make(tmp_path / "storage", {f"p/{MANIFEST}": b'{"files": {'})
    with pytest.raises(StorageError, match="is not a usable manifest"):
        storage.pull("p", tmp_path / "pulled")


def test_pull_into_a_folder_that_exists(storage: Storage, source: Path, tmp_path: Path) -> None:
    storage.publish(source, "p")
    pulled = make(tmp_path / "pulled", {"mine": b"keep"})
    with pytest.raises(BadInput, match="is not what is published"):
        storage.pull("p", pulled)
    assert content(pulled) == {"mine": b"keep"}
    storage.pull("p", pulled, replace=True)
    assert content(pulled) == FILES
    (tmp_path / "empty").mkdir()
    storage.pull("p", tmp_path / "empty")
    assert content(tmp_path / "empty") == FILES
    assert {p.name for p in tmp_path.iterdir()} == {"source", "storage", "pulled", "empty"}


def test_a_pulled_folder_is_not_fetched_again(
    storage: Storage, source: Path, tmp_path: Path
) -> None:
    storage.publish(source, "p")
    storage.pull("p", tmp_path / "pulled")
    for file in (tmp_path / "storage/p").rglob("*.bin"):
        file.unlink()  # whatever tried to fetch would fail
    storage.pull("p", tmp_path / "pulled")
    make(tmp_path / "pulled", {"actor/model.bin": BIG[::-1]})
    with pytest.raises(BadInput, match="is not what is published"):
        storage.pull("p", tmp_path / "pulled")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda file: file.write_bytes(b"x" * len(BIG)), "its SHA-256 is not"),
        (lambda file: file.write_bytes(b"short"), f"5 bytes instead of {len(BIG)}"),
        (lambda file: file.unlink(), "it is missing"),
    ],
)
def test_storage_that_contradicts_its_manifest(
    storage: Storage, source: Path, tmp_path: Path, change: Callable[[Path], object], message: str
) -> None:
    storage.publish(source, "p")
    change(tmp_path / "storage/p/actor/model.bin")
    with pytest.raises(StorageError, match=message):
        storage.pull("p", tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_one_pull_at_a_time(storage: Storage, source: Path, tmp_path: Path) -> None:
    storage.publish(source, "p")
    with (
        Journal(tmp_path / ".pulled.pulling", "other"),
        pytest.raises(StorageError, match="another pull into"),
    ):
        storage.pull("p", tmp_path / "pulled")


def test_journal_survives_a_kill_in_mid_line(tmp_path: Path) -> None:
    with Journal(tmp_path, "m") as journal:
        journal.add("a", "v1", 0)
        journal.add("a", "v1", 3)
        journal.add("b", "v1", 1)
        journal.add("b", "v2", 0)
        journal.add("c", None, 0)
        journal.forget("c")
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write('{"path": "a", "ver')
    for _ in range(2):  # what is written after the torn line must be readable too
        with Journal(tmp_path, "m") as journal:
            assert journal.arrived("a", "v1") >= {0, 3}
            assert journal.arrived("b", "v1") == set()
            assert journal.arrived("b", "v2") == {0}
            assert journal.arrived("c", None) == set()
            journal.add("a", "v1", 4)
    with Journal(tmp_path, "m") as journal:
        assert journal.arrived("a", "v1") == {0, 3, 4}
    with Journal(tmp_path, "another manifest") as journal:
        assert journal.arrived("a", "v1") == set()


def on_small_disk(tmp_path: Path, options: str, code: str, *arguments: str) -> str:
    """What Python prints where tmp_path/disk is a real file system of 8 MiB."""
    (tmp_path / "disk").mkdir()
    mount = f'mount -t tmpfs -o size=8m,{options} none {tmp_path}/disk && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("this kernel lets no user mount a small file system")
    run = subprocess.run(
        [*command, sys.executable, "-c", code, str(tmp_path), *arguments],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


PULL = """
import sys, pathlib
from ttsrl.storage.storage import open_storage
root, size = pathlib.Path(sys.argv[1]), int(sys.argv[2])
def fill(done, total):
    try:
        (root / "disk/filler").write_bytes(bytes(7 << 20))
    except OSError:
        pass
(root / "source").mkdir()
(root / "source/file").write_bytes(b"x" * size)
storage = open_storage(str(root / "storage"))
storage.publish(root / "source", "p")
for progress in (fill, None):
    try:
        storage.pull("p", root / "disk/pulled", progress)
        print("pulled", sorted(p.name for p in (root / "disk").iterdir()))
    except Exception as error:
        print(type(error).__name__, error)
        print(sorted(p.name for p in (root / "disk").iterdir()))
    if (root / "disk/filler").exists():
        (root / "disk/filler").unlink()
"""


def test_full_disk_is_seen_before_the_pull(tmp_path: Path) -> None:
    printed = on_small_disk(tmp_path, "rw", PULL, str(9 << 20))
    assert printed.count("StorageError the pull needs 9 MiB more, but the disk of") == 2
    assert "8 MiB free" in printed


def test_disk_that_fills_during_the_pull(tmp_path: Path) -> None:
    first, there, second = on_small_disk(tmp_path, "rw", PULL, str(6 << 20)).splitlines()
    assert first.startswith("StorageError no space left on the disk of")
    assert there == "['.pulled.pulling', 'filler']"
    assert second == "pulled ['pulled']"


def test_read_only_disk(tmp_path: Path) -> None:
    first, there, *_ = on_small_disk(tmp_path, "ro", PULL, "100").splitlines()
    assert first.startswith("BadInput permission denied: ")
    assert first.endswith("/disk/.pulled.pulling; choose a folder that this user may write to")
    assert there == "[]"


def test_keys_of_a_run(tmp_path: Path, source: Path) -> None:
    store = RunStore(str(tmp_path / "storage"), "quick")
    assert store.checkpoint(100) == "runs/quick/checkpoints/step_000100"
    assert store.model(100) == "runs/quick/model/step_000100"
    assert store.eval("held-out", 100) == "runs/quick/eval/held-out/step_000100"
    with pytest.raises(BadInput, match="is not a valid name of an evaluation suite"):
        store.eval("../x", 1)
    assert store.newest_checkpoint() is None
    with pytest.raises(StorageError, match="not complete"):
        store.write_latest(100)
    for step in (100, 20):
        store.storage.publish(source, store.checkpoint(step))
    make(tmp_path / "storage" / store.checkpoint(300))  # no manifest: not there
    assert store.list_checkpoints() == [20, 100]
    assert store.newest_checkpoint() == 100
    assert store.list_models() == []
    store.write_latest(100)
    assert store.storage.read_json(store.latest) == {
        "step": 100,
        "checkpoint": "runs/quick/checkpoints/step_000100",
    }
    store.storage.publish(source, store.model(100))
    best = BestModel(
        step=100,
        model=store.model(100),
        judge={"name": "judge", "kinship": "unlike"},
        scores={"cer": 0.25},
        left_out={"200": ["kl"]},
    )
    store.write_best(best)
    assert store.storage.read_json(store.best) == best.model_dump()
    assert best.model == "runs/quick/model/step_000100"
    with pytest.raises(BadInput, match=r"complete there: .*step_000020, .*step_000100"):
        store.storage.pull(store.checkpoint(300), tmp_path / "pulled")


@pytest.mark.parametrize("root", ["", "s3://", "s3://a", "gs://bucket/x", "s3://KEY:SECRET@b/x"])
def test_bad_addresses_are_not_quoted(root: str) -> None:
    with pytest.raises(BadInput) as caught:
        open_storage(root)
    assert "SECRET" not in str(caught.value)


def test_keys_stay_below_the_root(storage: Storage, source: Path) -> None:
    with pytest.raises(BadInput, match="is not a valid key"):
        storage.publish(source, "../outside")


def test_importing_loads_no_boto3() -> None:
    code = "import sys, ttsrl.storage.storage; sys.exit(bool({'boto3', 'torch'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
