"""What `ttsrl submit` refuses of the run itself, before a GPU is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.kube_api import Answer, Asked, api_server, as_json
from support.releases import release
from ttsrl.errors import BadInput
from ttsrl.kube.cluster import Cluster
from ttsrl.kube.place import chosen
from ttsrl.kube.readiness import examine, refuse
from ttsrl.kube.runs import own_run
from ttsrl.kube.training import objects_for
from ttsrl.runtime.doctor import Check


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    yield
    chosen.kubeconfig = None


def checks_of(tmp_path: Path, run: dict[str, Any], *keys: str, code: int = 200) -> dict[str, Check]:
    """The checks of a run in a cluster that has nothing but the trackers' Secret."""

    def answer(asked: Asked) -> Answer:
        if asked[1].endswith("/secrets/ttsrl-trackers"):
            return code, as_json({"data": dict.fromkeys(keys, "")})
        return 404, as_json({})

    there = release({"run": run})
    with api_server(answer, tmp_path) as file:
        chosen.kubeconfig = file
        job = objects_for(there, own_run(there), "rayjob")[-1]
        found = examine(Cluster(), there, "rayjob", job, there.run)
    return {check.name: check for check in found}


def test_a_guard_that_could_never_trip_is_refused_before_a_gpu_is_spent(tmp_path: Path) -> None:
    rule = {"name": "mine", "when": [{"measure": "no_such", "above": 1}]}
    found = checks_of(tmp_path, {"guards": {"rules": [rule]}})["guards"]
    assert found.state == "bad"
    assert "'no_such', which this run does not log" in found.found
    with pytest.raises(BadInput, match="no_such"):
        refuse([found])
    assert checks_of(tmp_path, {})["guards"].state == "ok"


def test_a_run_that_learns_from_pairs_is_not_for_a_cluster(tmp_path: Path) -> None:
    found = checks_of(tmp_path, {"dpo": {"pairs": "/models/pairs.jsonl"}})
    assert found["training"].state == "bad"
    assert "learns from pairs" in found["training"].found


@pytest.mark.parametrize(
    ("tracker", "key", "lacking"),
    [
        ({"type": "wandb", "online": True}, "WANDB_API_KEY", "wandb is online"),
        ({"type": "trackio", "space": "me/runs"}, "HF_TOKEN", "trackio sends to the Space me/runs"),
        ({"type": "mlflow"}, "MLFLOW_TRACKING_URI", "would write into the pod"),
    ],
)
def test_a_trackers_key_has_to_be_in_the_secret(
    tmp_path: Path, tracker: dict[str, Any], key: str, lacking: str
) -> None:
    name = f"tracker {tracker['type']}"
    found = checks_of(tmp_path, {"trackers": [tracker]}, "ANOTHER")[name]
    assert found.state == "bad"
    assert found.found.startswith(lacking)
    assert key in found.found
    assert found.advice == "add it to the Secret ttsrl-trackers"
    assert checks_of(tmp_path, {"trackers": [tracker]}, key)[name].state == "ok"


def test_a_secret_that_this_user_may_not_see_is_noted(tmp_path: Path) -> None:
    found = checks_of(tmp_path, {"trackers": [{"type": "wandb", "online": True}]}, code=403)
    assert found["tracker wandb"].state == "note"
    assert "ttsrl-trackers" in found["tracker wandb"].found


def test_audit_clips_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    clips = tmp_path / "clips.jsonl"
    clips.write_text(json.dumps({"audio": "absent.wav", "text": "hello"}))
    guards = {"guards": {"audit": "refuse", "audit_clips": str(clips)}}
    assert checks_of(tmp_path, guards)["audit clips"].state == "bad"
    guards["guards"]["audit_clips"] = "/models/clips.jsonl"
    assert checks_of(tmp_path, guards)["audit clips"].state == "note"
    guards["guards"]["audit"] = "off"
    assert "audit clips" not in checks_of(tmp_path, guards)
