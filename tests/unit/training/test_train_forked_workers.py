"""Which runs fork verl's processes off one."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.paths import TINY
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.runtime.preloaded import ALONE
from ttsrl.training import forked_workers
from ttsrl.training.environment import RUN
from ttsrl.training.forked_workers import FORK, place_of_forks, run_verl


def test_processes_of_a_machine_are_forked_unless_a_user_says_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FORK, raising=False)
    monkeypatch.setattr(forked_workers, "has_gpu", lambda: False)
    with place_of_forks("cpu", 2) as place:
        assert place is not None
        assert place.parent.stat().st_mode & 0o077 == 0, "others may write there"
    assert not place.parent.exists()
    monkeypatch.setattr(forked_workers, "has_gpu", lambda: True)
    assert not forks("cpu", 1), "beside a GPU"
    assert forks("cuda", 1)
    assert not forks("cuda", 2)
    monkeypatch.setenv(FORK, "1")
    assert forks("cuda", 2)
    assert not forks("cpu", 1)
    monkeypatch.setattr(forked_workers, "has_gpu", lambda: False)
    monkeypatch.setenv(FORK, "0")
    assert not forks("cpu", 1)
    assert not forks("cuda", 1)
    monkeypatch.setenv(FORK, "no")
    with pytest.raises(BadInput, match="TTSRL_FORK_WORKERS = 'no'"):
        forks("cpu", 1)


def forks(device: str, per_machine: int) -> bool:
    """Whether workers have a place to ask at."""
    with place_of_forks(device, per_machine) as place:
        return place is not None


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """verl's main programs that ran in a process of which nothing may be forked."""
    monkeypatch.setenv(RUN, dump_run(load_run(TINY / "run.json", ["train.device=cpu"])))
    monkeypatch.delattr(forked_workers, "serve_forks")
    ran = list[Path]()
    main = SimpleNamespace(main=ran.append)
    monkeypatch.setitem(sys.modules, "ttsrl.training.verl_main", main)
    return ran


def told(folder: Path, **variables: str) -> Path:
    """What the supervisor writes once the run has been checked."""
    path = folder / "told.json"
    path.write_text(json.dumps({"keys": "keys.json", "variables": variables}))
    return path


def test_the_first_module_after_which_nothing_can_be_forked_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    alone: list[Path],
) -> None:
    monkeypatch.setattr(forked_workers, "MODULES", ("colorsys", "wave", "shelve"))
    found = iter([None, "/dev/nvidiactl open"])
    monkeypatch.setattr(forked_workers, "unfit", lambda: next(found))
    run_verl(told(tmp_path), Path("socket"))
    assert capsys.readouterr().out == f"{ALONE}, because wave has left /dev/nvidiactl open\n"
    assert alone == [Path("keys.json")]
    assert not {"RAY_JOB_ID", "RAY_RAYLET_PID"} & set(os.environ)


def test_a_module_that_cannot_be_imported_is_left_to_who_needs_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    alone: list[Path],
) -> None:
    monkeypatch.setattr(forked_workers, "MODULES", ("missing_module",))
    run_verl(told(tmp_path), Path("socket"))
    said = f"{ALONE}: ModuleNotFoundError: No module named 'missing_module'\n"
    assert capsys.readouterr().out == said
    assert alone == [Path("keys.json")]


def test_it_imports_at_once_and_trains_when_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alone: list[Path]
) -> None:
    imported = threading.Event()
    monkeypatch.setattr(forked_workers, "MODULES", ("colorsys",))
    monkeypatch.setattr(forked_workers, "unfit", lambda: imported.set() or "a thread")
    monkeypatch.setenv("TOLD_LATER", "")

    def tell() -> None:
        assert imported.wait(60)
        # written elsewhere and renamed: what is there is whole
        told(folder, TOLD_LATER="yes").rename(tmp_path / "told.json")

    folder = tmp_path / "elsewhere"
    folder.mkdir()
    teller = threading.Thread(target=tell)
    teller.start()
    run_verl(tmp_path / "told.json", Path("socket"))
    teller.join()
    assert alone == [Path("keys.json")]
    assert os.environ["TOLD_LATER"] == "yes"
