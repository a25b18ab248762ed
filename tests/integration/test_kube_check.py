"""The checks of `helm test`, against the real service and a real S3 server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from support.releases import release
from support.reward_server import RewardServer, StartRewards, free_port
from ttsrl.cli.app import app
from ttsrl.config.load import load_run
from ttsrl.errors import BadInput, Failure
from ttsrl.kube import bucket, check
from ttsrl.storage.local_s3 import LocalS3


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


def test_a_bucket_is_looked_for_with_the_keys_of_the_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)

    def look(storage: str, endpoint: str, keys: str | None) -> tuple[str, str]:
        run = load_run("examples/tiny/run.json", [f"storage={storage}"])
        environment = {"AWS_ENDPOINT_URL": endpoint}
        there = replace(release(), run=run, environment=environment)
        found = bucket.look_at(there, keys)
        return found.state, found.found

    with LocalS3(tmp_path, "speech") as server:
        keys = server.credentials_file.read_text()
        wrong = keys[: keys.index("aws_secret_access_key")] + "aws_secret_access_key = wrong\n"
        assert look("s3://speech/a", server.endpoint, keys) == ("ok", "s3://speech/a answers")
        state, said = look("s3://absent", server.endpoint, keys)
        assert state == "bad" and "no bucket 'absent'" in said and "create it" in said
        state, said = look("s3://speech", server.endpoint, wrong)
        assert state == "bad" and "refused the credentials" in said
        assert look("s3://speech", server.endpoint, "[default")[0] == "bad"
        state, said = look("s3://speech", server.endpoint, "[default]\naws_access_key_id = a\n")
        assert state == "bad" and "aws_secret_access_key" in said
        assert look("s3://speech", server.endpoint, None)[0] == "note"
    # what only pods can reach
    state, said = look("s3://speech", server.endpoint, keys)
    assert state == "note" and "does not answer this machine" in said


def test_the_command_tells_what_is_wrong_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "WAKE_TIMEOUT_S", 0.0)
    done = CliRunner().invoke(app, ["job", "check", "metrics", "--config", str(at(9, tmp_path))])
    assert done.exit_code == 1
    assert "127.0.0.1:9" in done.output and "Traceback" not in done.output


def test_a_service_that_is_asleep_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens yet where it is scaled to zero: the pod that asks wakes it."""
    monkeypatch.setattr(check, "RETRY_S", 0.01)
    port = free_port()
    run = load_run(at(port, tmp_path))
    with ThreadPoolExecutor() as pool:
        asking = pool.submit(check.metrics, run)
        with pytest.raises(TimeoutError):
            asking.result(timeout=0.2)
        with HTTPServer(("127.0.0.1", port), Metrics) as server:
            pool.submit(server.handle_request)
            assert "1 metrics of the reward service" in asking.result(timeout=120)


class Metrics(BaseHTTPRequestHandler):
    """What a service that has just started shows, in little."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"# TYPE {check.QUEUE_METRIC} gauge\n{check.QUEUE_METRIC} 0\n".encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


def at(port: int, folder: Path) -> Path:
    """The tiny run, whose reward service is at a port of this machine."""
    run = json.loads(Path("examples/tiny/run.json").read_text())
    run["reward"]["url"] = f"http://127.0.0.1:{port}"
    path = folder / "run.json"
    path.write_text(json.dumps(run))
    return path
