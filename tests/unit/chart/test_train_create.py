"""Training as an object of the release (`train.create`): for Argo CD, Flux and `helm upgrade`."""

from __future__ import annotations

import json
from typing import Any, get_args

import helm_python as helm
import kubernetes_validate
import pytest

from support.helm_chart import KUBE_VERSION, Manifest, render
from support.releases import merged, release
from ttsrl.kube.manifests import Kind, mounted, parse
from ttsrl.kube.names import MAX_RAYJOB_CHARS

DURING = {"run": {"eval": {"during_training": {}}}}


def made(values: dict[str, Any], kind: Kind = "rayjob", **options: Any) -> list[Manifest]:
    """What the release has of training: its run, its job, and the Job beside it."""
    given = merged({"train": {"create": True, "kind": kind}}, values)
    kinds = {"rayjob", "pytorchjob", "trainjob", "trainingruntime", "job"}
    return [
        one
        for one in render(given, **options)
        if one["kind"].lower() in kinds or one.get("immutable")
    ]


def names_of(objects: list[Manifest]) -> dict[str, str]:
    return {one["kind"]: one["metadata"]["name"] for one in objects}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_it_is_the_job_that_submit_makes_with_a_run_that_never_changes(kind: Kind) -> None:
    run, job, *others = made({}, kind)
    there = release({"train": {"kind": kind}})
    assert run["immutable"] is True and run["data"] == there.files
    what = run["metadata"]["name"].removeprefix("ttsrl-run-")
    assert job["metadata"]["name"] == f"ttsrl-train-{what}"
    assert len(others) == (kind == "trainjob")
    own = parse(there.job(kind, there.names, run["metadata"]["name"]))
    named = json.dumps(own).replace('"ttsrl-train"', f'"ttsrl-train-{what}"')
    account = named.replace(
        f'"serviceAccountName": "ttsrl-train-{what}"', '"serviceAccountName": "ttsrl-train"'
    )
    assert job == json.loads(account)
    [pods] = others or [job]
    assert mounted(pods)["run"]["configMap"] == {"name": run["metadata"]["name"]}
    if kind == "trainjob":  # the pods of a TrainJob meet under its name
        assert f"ttsrl-train-{what}-node-0-0.ttsrl-train-{what}" in json.dumps(pods)


@pytest.mark.parametrize("kind", get_args(Kind))
def test_another_run_is_another_job_and_the_one_before_goes(kind: Kind) -> None:
    before = names_of(made({}, kind))
    for changed in (
        {"run": {"seed": 7}},
        {"run": {"train": {"steps": 7}}},
        {"run": {"name": "other"}},
        {"texts": '{"text": "Hello."}'},
    ):
        after = names_of(made(changed, kind))
        assert after.keys() == before.keys()
        assert not {*after.values()} & {*before.values()}, changed
    for kept in (
        {"image": {"tag": "2"}},
        {"commonLabels": {"team": "speech"}},
        {"reward": {"replicas": 2}},
        {"train": {"resources": {"limits": {"memory": "32Gi"}}}},
    ):
        assert names_of(made(kept, kind)) == before, kept


def test_what_cannot_change_in_a_job_beside_training_is_part_of_its_name() -> None:
    def follow(values: dict[str, Any]) -> Manifest:
        [job] = [one for one in made(merged(DURING, values)) if one["kind"] == "Job"]
        kubernetes_validate.validate(job, KUBE_VERSION, strict=True)
        return job

    first = follow({})
    assert follow({}) == first
    assert "ttlSecondsAfterFinished" not in first["spec"]  # else it would be made again
    for changed in (
        {"image": {"tag": "2"}},
        {"run": {"seed": 7}},
        {"job": {"extraEnv": [{"name": "A", "value": "1"}]}},
        {"follow": {"backoffLimit": 1}},
    ):
        assert follow(changed)["metadata"]["name"] != first["metadata"]["name"], changed
    again = follow({"reward": {"replicas": 2}})
    assert again == first


def test_names_stay_within_what_kuberay_takes() -> None:
    longest = "ttsrl" + "a" * 27
    assert len(names_of(made({}, release=longest))["RayJob"]) == MAX_RAYJOB_CHARS
    with pytest.raises(helm.HelmRenderError, match="has 33 characters"):
        made({}, release=longest + "a")


def test_nothing_of_it_is_there_unless_it_is_asked_for() -> None:
    assert made(merged(DURING, {"train": {"create": False}})) == []
