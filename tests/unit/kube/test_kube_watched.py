"""Lists that a watch keeps up to date, and a job that is followed by them.

The API server is a small one that is told what to answer: a real one neither forgets a version nor
is away on demand. tests/cluster/test_follow.py follows a job through the real one.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from support.kube_api import Answer, Asked, api_server, as_json
from ttsrl.errors import Failure
from ttsrl.kube import followed, watched
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.followed import watch
from ttsrl.kube.names import Names
from ttsrl.kube.place import chosen
from ttsrl.kube.watched import Watched
from ttsrl.runtime.progress import Progress

PATH = "/api/v1/namespaces/speech/pods"
NAMES = Names("ttsrl", "ttsrl", "ttsrl")
DEADLINE_S = 120.0


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setattr(watched, "RETRY_S", 0.01)
    monkeypatch.setattr(watched, "LIST_EVERY_S", 0.01)
    monkeypatch.setattr(followed, "LOOK_S", 0.01)
    yield
    chosen.kubeconfig = None


def pod(name: str, version: int, phase: str = "Running") -> dict[str, Any]:
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "speech",
            "resourceVersion": str(version),
            "creationTimestamp": "2026-11-30T00:00:00Z",
        },
        "spec": {},
        "status": {"phase": phase},
    }


def listing(version: int, *items: dict[str, Any]) -> Answer:
    return 200, as_json({"metadata": {"resourceVersion": str(version)}, "items": list(items)})


def events(*pairs: tuple[str, dict[str, Any]]) -> Answer:
    return 200, b"".join(as_json({"type": kind, "object": one}) + b"\n" for kind, one in pairs)


def until(ready: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Server:
    """Answers in an order; after the last nothing happens any more."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        """`list`, or the version from which a watch begins."""
        self.go_on = threading.Semaphore(0)
        """Released by the test for each further answer."""

    def __call__(self, asked: Asked) -> Answer:
        _, _, query, _ = asked
        since = query["resourceVersion"][0] if "watch" in query else "list"
        if not self.answers:
            return 200, b""
        self.go_on.acquire()
        self.asked.append(since)
        return self.answers.pop(0)


def test_a_list_is_asked_for_once_and_again_when_its_version_is_forgotten(tmp_path: Path) -> None:
    gone = {"kind": "Status", "code": 410, "message": "too old resource version"}
    server = Server(
        listing(10, pod("a", 9), pod("b", 10)),
        events(("MODIFIED", pod("a", 11, "Failed")), ("ADDED", pod("c", 12))),
        (503, b"{}"),
        events(("DELETED", pod("b", 13)), ("BOOKMARK", pod("", 15))),
        events(("ERROR", gone)),
        listing(20, pod("d", 19)),
        events(("ADDED", pod("e", 21))),
    )
    with api_server(server, tmp_path) as file:
        chosen.kubeconfig = file
        cluster = Cluster()
        cluster.patience_s = DEADLINE_S
        server.go_on.release()
        with Watched(cluster, PATH) as pods:

            def seen() -> dict[str, str]:
                found = pods.objects() or []
                return {one["metadata"]["name"]: one["status"]["phase"] for one in found}

            assert seen() == {"a": "Running", "b": "Running"}
            server.go_on.release()
            until(lambda: seen() == {"a": "Failed", "b": "Running", "c": "Running"})
            server.go_on.release()
            until(lambda: pods.away_since is not None)
            assert set(seen()) == {"a", "b", "c"}  # what was last known
            server.go_on.release()
            until(lambda: set(seen()) == {"a", "c"})
            assert pods.away_since is None
            server.go_on.release(3)
            until(lambda: set(seen()) == {"d", "e"})
    assert server.asked == ["list", "10", "12", "12", "15", "list", "20"]


def test_what_is_not_kept_is_not_known_and_goes_when_it_changes(tmp_path: Path) -> None:
    server = Server(
        listing(1, pod("a", 1), pod("b", 1, "Pending")),
        events(("MODIFIED", pod("a", 2, "Pending")), ("MODIFIED", pod("b", 3))),
    )
    server.go_on.release(2)
    with api_server(server, tmp_path) as file:
        chosen.kubeconfig = file
        running = Watched(Cluster(), PATH, keep=lambda one: one["status"]["phase"] == "Running")
        with running as pods:
            until(lambda: [one["metadata"]["name"] for one in pods.objects() or []] == ["b"])
            assert [one["status"]["phase"] for one in pods.objects() or []] == ["Running"]


def test_who_may_not_list_sees_none_and_who_may_not_watch_lists_again(tmp_path: Path) -> None:
    server = Server((403, b"{}"))
    server.go_on.release()
    with api_server(server, tmp_path) as file:
        chosen.kubeconfig = file
        with Watched(Cluster(), PATH) as pods:
            assert pods.objects() is None
    server = Server(listing(1, pod("a", 1)), (403, b"{}"), listing(2, pod("b", 2)))
    server.go_on.release(3)
    with api_server(server, tmp_path) as file:
        chosen.kubeconfig = file
        with Watched(Cluster(), PATH) as pods:
            until(lambda: [one["metadata"]["name"] for one in pods.objects() or []] == ["b"])


def test_a_server_that_stays_away_is_an_error_in_words(tmp_path: Path) -> None:
    server = Server(listing(1), *[(503, b"{}")] * 1000)
    server.go_on.release(1001)
    with api_server(server, tmp_path) as file:
        chosen.kubeconfig = file
        cluster = Cluster()
        cluster.patience_s = 0.1
        with (
            Watched(cluster, PATH) as pods,
            pytest.raises(Failure, match="the cluster answers 503"),
        ):
            until(lambda: pods.objects() is None)


def test_an_answer_that_makes_no_sense_is_no_endless_wait(tmp_path: Path) -> None:
    server = Server((200, b'{"metadata": {}, "items": [{}]}'))
    server.go_on.release()
    with api_server(server, tmp_path) as file:
        chosen.kubeconfig = file
        with Watched(Cluster(), PATH) as pods, pytest.raises(KeyError):
            pods.objects()


@pytest.mark.parametrize("phase", ["Pending", "Running"])
def test_a_job_is_followed_without_being_listed_again(tmp_path: Path, phase: str) -> None:
    """Steps come from the log; nodes and other people's pods are asked for while a pod waits."""
    job: dict[str, Any] = {
        "kind": "RayJob",
        "metadata": {
            "name": "ttsrl-train",
            "resourceVersion": "5",
            "labels": {"app.kubernetes.io/instance": "ttsrl"},
        },
        "spec": {"backoffLimit": 5},
        "status": {"jobDeploymentStatus": "Running"},
    }
    ended = {"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}
    done = {**job, "metadata": {**job["metadata"], "resourceVersion": "9"}, "status": ended}
    first, runs = pod("driver", 1, phase), pod("driver", 7)
    for one in (first, runs):
        one["metadata"]["labels"] = {"batch.kubernetes.io/job-name": "ttsrl-train"}
    lists: list[str] = []
    logs = iter(["step 1/2  reward 0.1", "step 2/2  reward 0.2"])
    shown = io.StringIO()
    once = {"pods": [events(("MODIFIED", runs))], "rayjobs": [events(("MODIFIED", done))]}

    def answer(asked: Asked) -> Answer:
        _, path, query, _ = asked
        last = path.rpartition("/")[2]
        if last == "log":
            return 200, next(logs, "step 2/2  reward 0.2").encode()
        if "watch" in query:
            text = shown.getvalue()
            is_time = {"pods": "being made" in text, "rayjobs": "reward 0.2" in text}
            ready = "/speech/" in path and is_time.get(last) and once[last]
            return once[last].pop() if ready else (200, b"")
        if last == "ttsrl-train":
            return 200, as_json(job)
        lists.append(path)
        items = {"rayjobs": [job], "pods": [first] if "/speech/" in path else []}
        return listing(5, *items.get(last, []))

    with api_server(answer, tmp_path) as file, Progress(Console(file=shown)) as progress:
        chosen.kubeconfig = file
        watch(Cluster(), NAMES, progress)
    said = shown.getvalue()
    assert said.index("2/2 reward 0.2") < said.index("done in")
    around = ["/api/v1/nodes", "/api/v1/pods"], ["events"]
    before, after = around if phase == "Pending" else ([], [])
    assert sorted(path.removeprefix("/api/v1/namespaces/speech/") for path in lists) == [
        *before,
        "/apis/ray.io/v1/namespaces/speech/rayjobs",
        *after,
        "pods",
    ]
    assert said.find("being made") < said.index("2/2 reward 0.2")
    assert ("being made" in said) is (phase == "Pending")
