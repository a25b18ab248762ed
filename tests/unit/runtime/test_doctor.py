"""The doctor finds what is there, and says what to do about what is not."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from ttsrl.errors import BadInput, Failure
from ttsrl.runtime import doctor, machine

NETWORK = ("UV_DEFAULT_INDEX", "HF_ENDPOINT")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be asked on the internet is asked where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name in NETWORK:
        monkeypatch.setenv(name, f"http://user:secret@127.0.0.1:{port}/")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def by_name(checks: list[doctor.Check]) -> dict[str, doctor.Check]:
    return {check.name: check for check in checks}


def test_this_environment_is_told_as_it_is() -> None:
    found = by_name(doctor.examine())
    assert found["Python"].state == "ok"
    assert found["torch"].found.startswith("2.")
    assert found["CPU cores"].found == f"{machine.cores():g}"
    assert found["S3"].state == "note"
    assert "not configured" in found["S3"].found


def test_what_cannot_be_reached_is_a_note_without_its_password() -> None:
    index = by_name(doctor.examine())["package index"]
    assert index.state == "note"
    assert "cannot be reached" in index.found
    assert "UV_DEFAULT_INDEX" in index.advice
    assert "secret" not in index.found


def test_a_server_that_answers_is_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refuses(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        assert by_name(doctor.examine())["Hugging Face"].state == "ok"
        server.shutdown()


def test_s3_that_is_configured_but_wrong_is_bad() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    check = doctor.s3({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
    assert check.state == "bad"
    assert str(port) in check.found
    assert "AWS_ENDPOINT_URL" in check.advice


def test_a_missing_package_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", {"no-such-package": "reward"})
    checks = doctor.examine()
    missing = by_name(checks)["no-such-package"]
    assert (missing.state, missing.advice) == ("bad", "uv sync --inexact --extra reward")
    with pytest.raises(Failure, match=r"not ready: .*no-such-package"):
        doctor.show(checks, as_json=False)
    assert "no-such-package" in capsys.readouterr().out


def test_json_holds_what_the_table_shows(capsys: pytest.CaptureFixture[str]) -> None:
    check = doctor.Check("GPU", "note", "none", "buy one")
    doctor.show([check], as_json=True)
    assert json.loads(capsys.readouterr().out) == [
        {"name": "GPU", "state": "note", "found": "none", "advice": "buy one"}
    ]


def test_what_does_not_suffice_is_refused_with_both_numbers(tmp_path: Path) -> None:
    missing = tmp_path / "not" / "there"
    machine.require(missing, 1, 1)
    with pytest.raises(BadInput, match=r"free, and 1073741824\.0 GiB are needed"):
        machine.require(missing, machine.GIB**2, 1)
    with pytest.raises(BadInput, match=r"of memory are free, and 1073741824\.0 GiB"):
        machine.require(missing, 1, machine.GIB**2)


def test_a_containers_limits_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert machine.cores() == 0.5
    assert machine.free_memory_bytes() == 600_000
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 100000\nactive_file 50000\n")
    assert machine.free_memory_bytes() == 750_000
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.cores() >= 1
