from collections.abc import Callable
from pathlib import Path

import pytest

from ttsrl.storage.errors import StorageError, SupersededError
from ttsrl.storage.storage import Storage, open_storage

RANKS = {"actor/rank_0.pt": b"zero", "actor/config.json": b"{}"}, {"actor/rank_1.pt": b"one"}


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(str(tmp_path / "storage"))


def machine(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def publish(
    storage: Storage, machines: list[Path], upload_one: Callable[[int], bool] = lambda _: True
) -> None:
    """Publish what the machines hold; those that `upload_one` refuses die before their upload."""
    parts = [storage.scan(folder) for folder in machines]

    def upload(claim: str) -> None:
        for index, part in enumerate(parts):
            if not upload_one(index):
                raise StorageError("a machine is gone")
            storage.upload_part("step", part, claim)

    storage.publish_parts("step", parts, upload)


def test_what_several_machines_hold_is_published_as_one_folder(
    storage: Storage, tmp_path: Path
) -> None:
    machines = [machine(tmp_path / f"machine{i}", files) for i, files in enumerate(RANKS)]
    publish(storage, [*machines, tmp_path / "holds nothing"])
    storage.pull("step", tmp_path / "all")
    assert content(tmp_path / "all") == RANKS[0] | RANKS[1]
    one = tmp_path / "of rank 1"
    storage.pull("step", one, wanted=lambda path: path.endswith("rank_1.pt"))
    assert content(one) == RANKS[1]


def test_nothing_is_visible_when_a_machine_dies_and_the_next_attempt_replaces_it_all(
    storage: Storage, tmp_path: Path
) -> None:
    machines = [machine(tmp_path / f"machine{i}", files) for i, files in enumerate(RANKS)]
    with pytest.raises(StorageError, match="is gone"):
        publish(storage, machines, upload_one=lambda index: index == 0)
    assert not storage.is_complete("step")

    machine(machines[0], {"actor/rank_0.pt": b"done again"})
    publish(storage, machines)
    storage.pull("step", tmp_path / "all")
    assert content(tmp_path / "all") == RANKS[0] | RANKS[1] | {"actor/rank_0.pt": b"done again"}


def test_a_machine_of_an_earlier_attempt_cannot_mix_its_files_in(
    storage: Storage, tmp_path: Path
) -> None:
    machines = [machine(tmp_path / f"machine{i}", files) for i, files in enumerate(RANKS)]
    late = storage.scan(machine(tmp_path / "late", {"actor/rank_1.pt": b"of a former attempt"}))
    claims: list[str] = []

    def upload(claim: str) -> None:
        claims.append(claim)
        with pytest.raises(SupersededError):
            storage.upload_part("step", late, "0" * 64)
        for folder in machines:
            storage.upload_part("step", storage.scan(folder), claim)

    storage.publish_parts("step", [storage.scan(folder) for folder in machines], upload)
    storage.pull("step", tmp_path / "all")
    assert content(tmp_path / "all") == RANKS[0] | RANKS[1]
    assert len(claims) == 1


def test_machines_that_share_a_disk_hold_the_same_files_and_others_are_refused(
    storage: Storage, tmp_path: Path
) -> None:
    shared = machine(tmp_path / "shared", RANKS[0] | RANKS[1])
    publish(storage, [shared, shared])
    stale = machine(tmp_path / "stale", {"actor/rank_0.pt": b"left from before"})
    with pytest.raises(StorageError, match=r"different files .*rank_0\.pt"):
        publish(storage, [shared, stale])
