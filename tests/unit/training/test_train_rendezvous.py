import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ttsrl.errors import BadInput, Failure
from ttsrl.training import rendezvous
from ttsrl.training.pytorchjob import Place, python_of_one_word

HOST = "127.0.0.1"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


class InThread(threading.Thread):
    """A pod of the same job, and what it returned or raised."""

    def __init__(self, pod: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._pod = pod
        self.result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.result = self._pod()
        except Exception as error:
            self.result = error

    def ended(self) -> Any:
        self.join(20)
        assert not self.is_alive()
        return self.result


def listen(port: int, rank: int, host: str = HOST) -> list[dict[str, Any]]:
    with rendezvous.join(host, port, rank) as leader:
        return [leader.wait(), leader.wait()]


def test_all_pods_meet_and_learn_how_it_ended(port: int) -> None:
    pods = [InThread(lambda rank=rank: listen(port, rank)) for rank in (1, 2)]
    with rendezvous.gather(port, 2) as others:
        assert set(others.lines) == {1, 2}
        assert others.own_address == HOST
        others.tell({"ray": "somewhere"})
        others.look()
        others.tell({"exit": 3})
        assert [pod.ended() for pod in pods] == [[{"ray": "somewhere"}, {"exit": 3}]] * 2


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="the kernel has no IPv6")
def test_pods_that_have_ipv6_alone_meet(port: int) -> None:
    pod = InThread(lambda: listen(port, 1, "::1"))
    with rendezvous.gather(port, 1) as others:
        assert others.own_address == "::1"
        others.tell({"ray": "[::1]:6379"})
        others.tell({"exit": 0})
        assert pod.ended() == [{"ray": "[::1]:6379"}, {"exit": 0}]


def test_rank_0_hears_of_a_pod_that_is_to_end(port: int) -> None:
    def pod() -> dict[str, Any]:
        with rendezvous.join(HOST, port, 1) as leader:
            leader.wait()
            leader.send({"ending": 1})
            return leader.wait()

    leaving = InThread(pod)
    with rendezvous.gather(port, 1) as others:
        assert not others.look()
        others.tell({"ray": "somewhere"})
        deadline = time.monotonic() + 120
        while not others.look():
            assert time.monotonic() < deadline
        others.tell({"exit": 143})
        assert leaving.ended() == {"exit": 143}


def test_rank_0_notices_a_pod_that_is_lost(port: int) -> None:
    def pod() -> None:
        with rendezvous.join(HOST, port, 1) as leader:
            leader.wait()

    lost = InThread(pod)
    with rendezvous.gather(port, 1) as others:
        others.look()
        others.tell({"ray": "somewhere"})
        lost.ended()
        with pytest.raises(Failure, match="rank 1 is lost"):
            others.look()


def test_a_pod_notices_that_rank_0_is_lost(port: int) -> None:
    pod = InThread(lambda: listen(port, 1))
    with rendezvous.gather(port, 1):
        pass
    assert isinstance(pod.ended(), Failure)


def test_who_says_no_rank_is_no_pod(port: int) -> None:
    def unknowns() -> list[dict[str, Any]]:
        meet = rendezvous.join(HOST, port, 99)  # waits until rank 0 listens
        with meet:
            for said in (b"GET / HTTP/1.1\r\n\r\n", b'["rank"]\n', b"", json.dumps(7).encode()):
                with socket.create_connection((HOST, port)) as unknown:
                    unknown.sendall(said)
        return listen(port, 1)

    pod = InThread(unknowns)
    with rendezvous.gather(port, 1) as others:
        assert set(others.lines) == {1}
        others.tell({"ray": "x"})
        others.tell({"exit": 0})
        assert pod.ended()[1] == {"exit": 0}


def test_a_pod_knows_its_place_or_says_what_is_missing() -> None:
    operator = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "m", "MASTER_PORT": "23456"}
    assert Place.of(operator) == Place(1, 2, "m", 23456)
    with pytest.raises(BadInput, match="WORLD_SIZE is not set"):
        Place.of({"RANK": "1"})
    with pytest.raises(BadInput, match="RANK = 2 is none of WORLD_SIZE = 2"):
        Place.of(operator | {"RANK": "2"})
    with pytest.raises(BadInput, match="not numbers"):
        Place.of(operator | {"MASTER_PORT": "tcp://1.2.3.4:23456"})


def test_a_shell_takes_python_whose_path_has_a_space_as_one_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, spaced = tmp_path / "a", tmp_path / "a b"
    for folder in (plain, spaced):
        folder.symlink_to(sys.prefix)
    monkeypatch.setattr(sys, "executable", str(plain / "bin/python"))
    with python_of_one_word() as python:
        assert python == str(plain / "bin/python")
    monkeypatch.setattr(sys, "executable", str(spaced / "bin/python"))
    monkeypatch.setattr(sys, "prefix", str(spaced))
    with python_of_one_word() as python:
        code = "import ray, sys; print(sys.executable)"
        ran = subprocess.run(["bash", "-c", f"exec {python} -c '{code}'"], capture_output=True)
        assert ran.stdout.decode().split() == [python], ran.stderr
    assert not Path(python).exists()
