"""What `ttsrl submit` says of a volume claim that has no disk yet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kube_api import Answer, Asked, api_server, as_json
from ttsrl.kube.claim import pending_claim
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.place import chosen

CLASSES = [{"metadata": {"name": "standard"}}, {"metadata": {"name": "nfs"}}]
CLAIM = {"metadata": {"uid": "a"}, "spec": {"storageClassName": "standard"}}


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    yield
    chosen.kubeconfig = None


def warning(message: str, uid: str = "a", at: str = "2026-01-01T00:00:00Z") -> dict[str, Any]:
    return {
        "message": message,
        "type": "Warning",
        "involvedObject": {"uid": uid},
        "lastTimestamp": at,
    }


@pytest.mark.parametrize(
    ("claim", "classes", "events", "state", "said"),
    [
        (CLAIM, CLASSES, [], "note", "Pending, RWX, class standard: it has no disk yet"),
        (CLAIM, None, [], "note", "it has no disk yet"),  # a user who may not see classes
        (
            {**CLAIM, "spec": {"storageClassName": "fast"}},
            CLASSES,
            [],
            "bad",
            "no such class; there are: nfs, standard",
        ),
        ({**CLAIM, "spec": {}}, [], [], "bad", "class none: no such class; there are: none"),
        (
            CLAIM,
            CLASSES,
            [
                warning("the newest", at="2026-01-02T00:00:00Z"),
                warning("an older one"),
                warning("of another claim", "b", "2026-01-03T00:00:00Z"),
                warning("no warning", at="2026-01-03T00:00:00Z") | {"type": "Normal"},
            ],
            "bad",
            "Pending, RWX, class standard: the newest",
        ),
    ],
)
def test_a_claim_without_a_disk(
    tmp_path: Path,
    claim: dict[str, Any],
    classes: list[Any] | None,
    events: list[Any],
    state: str,
    said: str,
) -> None:
    def answer(asked: Asked) -> Answer:
        if asked[1].endswith("/events"):
            return 200, as_json({"items": events})
        assert asked[1].endswith("/storageclasses")
        return (403, as_json({})) if classes is None else (200, as_json({"items": classes}))

    with api_server(answer, tmp_path) as file:
        chosen.kubeconfig = file
        found = pending_claim(Cluster(), "ttsrl-models", claim, "RWX")
    assert (found.name, found.state) == ("volume ttsrl-models", state)
    assert found.found.endswith(said)
