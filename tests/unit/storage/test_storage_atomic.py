"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ttsrl.storage.atomic import flush, new_folder, replace_file, replace_text, temporary_beside


def test_a_file_is_the_former_one_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    replace_text(target, "before")
    with replace_file(target) as temporary:
        temporary.write_text("after")
        assert target.read_text() == "before"
        assert temporary.name.startswith(".")
    assert target.read_text() == "after"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    target = tmp_path / "a.json"
    replace_text(target, "before")
    with pytest.raises(error), replace_file(target) as temporary:
        temporary.write_text("half")
        raise error
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_at_once_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "a"
    with replace_file(target) as first, replace_file(target) as second:
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"  # it ended last


def test_a_durable_file_is_flushed_before_its_name_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr("ttsrl.storage.atomic.flush", lambda path: order.append(path.name))
    with replace_file(tmp_path / "a", durable=True) as temporary:
        temporary.write_text("text")
    assert order == [temporary.name, tmp_path.name]
    replace_text(tmp_path / "b", "text")
    assert len(order) == 2


def test_what_is_left_under_the_temporary_name_is_removed(tmp_path: Path) -> None:
    with temporary_beside(tmp_path / "a") as temporary:
        temporary.write_text("text")
        flush(temporary)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_there_when_it_is_filled_and_not_after_an_error(tmp_path: Path) -> None:
    target = tmp_path / "head"
    with pytest.raises(ValueError), new_folder(target) as folder:
        (folder / "a").touch()
        raise ValueError
    assert not list(tmp_path.iterdir())
    with new_folder(target) as folder:
        (folder / "a").touch()
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["a"]
    assert list(tmp_path.iterdir()) == [target]
    assert target.stat().st_mode == tmp_path_mode(tmp_path)


def tmp_path_mode(folder: Path) -> int:
    """What mkdir gives here: others may read what a scratch folder would hide."""
    (folder / "plain").mkdir()
    return (folder / "plain").stat().st_mode
