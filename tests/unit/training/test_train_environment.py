import pytest

from support.paths import TINY
from ttsrl.config.load import dump_run, load_run
from ttsrl.training.environment import RUN, run_here

TINY_RUN = TINY / "run.json"


def test_a_process_checks_its_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUN, dump_run(load_run(TINY_RUN)))
    assert run_here() is run_here()
    monkeypatch.setenv(RUN, dump_run(load_run(TINY_RUN, ["train.steps=7"])))
    assert run_here().train.steps == 7
