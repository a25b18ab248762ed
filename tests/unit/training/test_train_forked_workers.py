"""Which runs fork verl's processes off one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.paths import TINY
from ttsrl.config.load import dump_run, load_run
from ttsrl.errors import BadInput
from ttsrl.training import forked_workers
from ttsrl.training.environment import RUN
from ttsrl.training.forked_workers import FORK, place_of_forks, run_verl


def test_processes_of_a_machine_are_forked_unless_a_user_says_no(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(FORK, raising=False)
    monkeypatch.setattr(forked_workers, "has_gpu", lambda: False)
    with place_of_forks("cpu") as place:
        assert place is not None
        assert place.parent.stat().st_mode & 0o077 == 0, "others may write there"
    assert not place.parent.exists()
    monkeypatch.setattr(forked_workers, "has_gpu", lambda: True)
    with place_of_forks("cuda") as place:
        assert place is not None
    with place_of_forks("cpu") as place:
        assert place is None
    monkeypatch.setattr(forked_workers, "has_gpu", lambda: False)
    monkeypatch.setenv(FORK, "0")
    for device in ("cpu", "cuda"):
        with place_of_forks(device) as place:
            assert place is None
    monkeypatch.setenv(FORK, "no")
    with pytest.raises(BadInput, match="TTSRL_FORK_WORKERS = 'no'"), place_of_forks("cpu"):
        pass


def test_the_first_module_after_which_nothing_can_be_forked_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(forked_workers, "MODULES", ("colorsys", "wave", "shelve"))
    monkeypatch.setenv(RUN, dump_run(load_run(TINY / "run.json", ["train.device=cpu"])))
    found = iter([None, "/dev/nvidiactl open"])
    monkeypatch.setattr(forked_workers, "unfit", lambda: next(found))
    served = list[Path]()
    monkeypatch.setattr(forked_workers, "serve_forks", lambda place, prepare: served.append(place))
    ran = list[Path]()
    verl_main = SimpleNamespace(main=ran.append)
    monkeypatch.setitem(sys.modules, "ttsrl.training.verl_main", verl_main)
    run_verl(Path("keys.json"), Path("socket"))
    said = "each process imports its own modules, because wave has left /dev/nvidiactl open\n"
    assert capsys.readouterr().out == said
    assert (served, ran) == ([], [Path("keys.json")])
    assert not {"RAY_JOB_ID", "RAY_RAYLET_PID"} & set(os.environ)
