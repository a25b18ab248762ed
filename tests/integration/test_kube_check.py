"""The checks of `helm test`, against the real service and a real S3 server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from reward_server import RewardServer, StartRewards

from ttsrl.errors import BadInput, Failure
from ttsrl.kube import check
from ttsrl.settings import load_run


def run_with(server: RewardServer, folder: Path, *overrides: str) -> Path:
    path = folder / "run.json"
    path.write_text(load_run(server.config, overrides).model_dump_json())
    return path


def test_a_release_that_scores_passes(start_reward_service: StartRewards, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    server = start_reward_service([f"reward.token_file={token}"])
    server.wait_ready()
    assert '"status"' in check.score(load_run(run_with(server, tmp_path)))
    assert "metrics" in check.metrics(load_run(run_with(server, tmp_path)))

    open_to_all = tmp_path / "other"
    open_to_all.write_text("wrong")
    wrong = load_run(run_with(server, tmp_path, f"reward.token_file={open_to_all}"))
    with pytest.raises(BadInput, match="401"):
        check.score(wrong)


def test_a_service_that_scores_for_anyone_is_no_good(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    run = load_run(run_with(reward_service, tmp_path, f"reward.token_file={token}"))
    with pytest.raises(Failure, match="not 401"):
        check.score(run)


def test_a_metrics_page_that_is_not_ours_is_no_good(
    reward_service: RewardServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "QUEUE_METRIC", "ttsrl_reward_no_such")
    with pytest.raises(Failure, match="ttsrl_reward_no_such"):
        check.metrics(load_run(run_with(reward_service, tmp_path)))


def test_storage_is_written_read_and_left_clean(
    reward_service: RewardServer, tmp_path: Path
) -> None:
    root = tmp_path / "storage"
    run = load_run(run_with(reward_service, tmp_path, f"storage={root}"))
    assert str(root) in check.storage(run)
    assert [path for path in root.rglob("*") if path.is_file()] == []


def test_the_command_tells_what_is_wrong_and_fails(tmp_path: Path) -> None:
    run = json.loads(Path("examples/tiny/run.json").read_text())
    run["reward"]["url"] = "http://127.0.0.1:9"
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run))
    done = subprocess.run(
        [sys.executable, "-m", "ttsrl.kube.check", "metrics", "--config", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr and "Traceback" not in done.stderr
