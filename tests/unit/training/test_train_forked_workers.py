"""Which runs fork verl's processes off one."""

from __future__ import annotations

import pytest

from ttsrl.errors import BadInput
from ttsrl.training import forked_workers
from ttsrl.training.forked_workers import FORK, place_of_forks


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
