"""A rank's part of a checkpoint, written beside what changes it."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from ttsrl.errors import Failure
from ttsrl.training.shard_writer import ShardWriter
from ttsrl.training.shards import SHARDS, shard_name

FILES = [shard_name(kind, 1, 0) for kind in SHARDS]


def policy() -> tuple[torch.nn.Linear, torch.optim.AdamW]:
    torch.manual_seed(0)
    model = torch.nn.Linear(300, 300)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    update(model, optimizer)
    return model, optimizer


def update(model: torch.nn.Linear, optimizer: torch.optim.AdamW) -> None:
    model(torch.randn(4, 300)).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


def states(model: torch.nn.Linear, optimizer: torch.optim.AdamW) -> dict[str, Any]:
    extra = {"rng": torch.get_rng_state()}
    return dict(zip(FILES, (model.state_dict(), optimizer.state_dict(), extra), strict=True))


def assert_equal(found: Any, expected: Any) -> None:
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_equal(found[key], value)
    else:
        assert found == expected


def test_each_checkpoint_is_of_its_moment_however_late_it_is_written(tmp_path: Path) -> None:
    writer, (model, optimizer) = ShardWriter(), policy()
    for step in (1, 2):
        folder, whole = tmp_path / str(step), tmp_path / f"at once {step}"
        folder.mkdir()
        whole.mkdir()
        for name, state in states(model, optimizer).items():
            torch.save(state, whole / name)
        updated = threading.Event()
        writer.thread.submit(updated.wait)
        writer.begin(folder, states(model, optimizer))
        update(model, optimizer)
        optimizer.param_groups[0]["lr"] = 0.05
        assert writer.written() is None and not list(folder.iterdir())
        updated.set()
        writer.wait()
        assert (writer.written() or 0) > 0
        for name in FILES:
            assert_equal(torch.load(folder / name), torch.load(whole / name))


def test_the_next_checkpoint_waits_for_the_one_that_is_written(tmp_path: Path) -> None:
    writer, (model, optimizer) = ShardWriter(), policy()
    for folder in ("1", "2"):
        (tmp_path / folder).mkdir()
    go_on = threading.Event()
    writer.thread.submit(go_on.wait)
    writer.begin(tmp_path / "1", states(model, optimizer))
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    update(model, optimizer)
    later = threading.Thread(target=writer.begin, args=(tmp_path / "2", states(model, optimizer)))
    later.start()
    go_on.set()
    later.join(120)
    writer.wait()
    # the second one has overwritten the memory of the first only when that was on the disk
    assert_equal(torch.load(tmp_path / "1" / FILES[0]), expected)
    assert_equal(torch.load(tmp_path / "2" / FILES[0]), dict(model.state_dict()))


def test_a_write_that_fails_says_why_and_leaves_no_half_file(tmp_path: Path) -> None:
    writer, (model, optimizer) = ShardWriter(), policy()
    (tmp_path / FILES[1] / "in the way").mkdir(parents=True)
    writer.begin(tmp_path, states(model, optimizer))
    with pytest.raises(Failure, match=rf"{FILES[1]} could not be written: .*make room"):
        writer.wait()
    with pytest.raises(Failure, match="could not be written"):
        writer.written()
    with pytest.raises(Failure, match="could not be written"):
        writer.begin(tmp_path, states(model, optimizer))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES[:2])


def test_a_copy_that_fails_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(Failure, match=r"could not be copied .*train\.save_beside=false"):
        ShardWriter().begin(tmp_path, {"model": torch.empty(3, device="meta")})
    assert not list(tmp_path.iterdir())
