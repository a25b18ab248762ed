from pathlib import Path

import pytest

from jobs.train import resume
from ttsrl.errors import BadInput
from ttsrl.settings import load_run
from ttsrl.storage import RunStore

TINY = Path(__file__).parents[2] / "examples" / "tiny" / "run.json"


def save(checkpoints: Path, step: int, content: str = "weights") -> Path:
    folder = checkpoints / f"global_step_{step}"
    (folder / "actor").mkdir(parents=True)
    (folder / "actor" / "model.pt").write_text(content)
    (folder / "log").mkdir()
    (folder / "log" / "steps.jsonl").write_text('{"step": 1}\n')
    (checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path / "storage"), "run")


def test_a_new_run_starts_at_zero(store: RunStore, tmp_path: Path) -> None:
    assert resume.restore(store, tmp_path / "checkpoints") == 0


def test_an_empty_machine_gets_checkpoint_and_history_from_storage(
    store: RunStore, tmp_path: Path
) -> None:
    resume.publish_checkpoint(store, 4, save(tmp_path / "old", 4))
    new = tmp_path / "new" / "checkpoints"
    new.mkdir(parents=True)
    assert resume.restore(store, new) == 4
    assert (new / "global_step_4" / "actor" / "model.pt").read_text() == "weights"
    assert resume.local_step(new) == 4
    assert (tmp_path / "new" / "steps.jsonl").read_text() == '{"step": 1}\n'


def test_a_checkpoint_that_was_saved_but_not_published_is_published(
    store: RunStore, tmp_path: Path
) -> None:
    save(tmp_path, 6)
    assert resume.restore(store, tmp_path) == 6
    assert store.newest_checkpoint() == 6


def test_a_damaged_local_checkpoint_is_fetched_again(store: RunStore, tmp_path: Path) -> None:
    folder = save(tmp_path, 3)
    resume.publish_checkpoint(store, 3, folder)
    (folder / "actor" / "model.pt").write_text("weighXs")
    assert resume.restore(store, tmp_path) == 3
    assert (folder / "actor" / "model.pt").read_text() == "weights"


def test_a_half_written_checkpoint_is_forgotten(tmp_path: Path) -> None:
    save(tmp_path, 2)
    (tmp_path / "global_step_4" / "actor").mkdir(parents=True)
    resume.forget(tmp_path)
    assert [p.name for p in tmp_path.glob("global_step_*")] == ["global_step_2"]


def test_a_name_taken_by_another_configuration_is_refused(store: RunStore) -> None:
    resume.claim_run(load_run(TINY), store)
    resume.claim_run(load_run(TINY, ["train.steps=99"]), store)  # more steps: the same run
    with pytest.raises(BadInput, match=r"learning_rate is 0\.0004 there, 0\.001 here"):
        resume.claim_run(load_run(TINY, ["train.learning_rate=0.001"]), store)
