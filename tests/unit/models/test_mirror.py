"""A release for a cluster without the internet: what it takes, a mirror of its models, a cache
that is filled from it. The hub is one of this machine; huggingface_hub and storage are the real
ones, in processes of their own as in pods."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from support.helm_chart import CHART, find, read_values, render
from support.local_hub import LocalHub, environment_of, folder_content, local_hub, python
from support.paths import TINY
from support.releases import merged
from ttsrl.cli.app import app
from ttsrl.models.files import folder_digest

DIGEST = """
from ttsrl.cli.app import app
from ttsrl.models.files import folder_digest
from ttsrl.models.hub import local_folder, pinned
print(*(f"{pinned(name)} {folder_digest(local_folder(name))}" for name in %r))
"""
PARTS = ("policy", "codec", "whisper", "judge")


def ids(revision: str) -> dict[str, str]:
    """Part of the tiny stack -> id; one names its revision."""
    return {part: f"tiny/{part}{revision if part == 'codec' else ''}" for part in PARTS}


def values(of: dict[str, str], **more: Any) -> dict[str, Any]:
    judges = [{"name": "judge", "type": "ctc", "model": of["judge"]}]
    run = {"model": of["policy"], "codec": of["codec"], "eval": {"judges": judges}}
    whisper = {"reward": {"whisper": {"model": of["whisper"]}}}
    tiny = read_values(CHART / "ci/tiny-values.yaml")
    return merged(tiny, {"run": {**run, **whisper}, **more})


def written(of: dict[str, str], folder: Path, **more: Any) -> Path:
    """What `helm template` prints."""
    file, made = folder / "release.yaml", render(values(of, **more))
    file.write_text(yaml.safe_dump_all(made))
    run = find(made, "ConfigMap", "ttsrl-run")["data"]["run.json"]
    (folder / "run.json").write_text(run)
    return file


def ttsrl(hub: LocalHub, home: Path, *arguments: str | Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ttsrl", *map(str, arguments)],
        env={**os.environ, **environment_of(hub, home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_cache_is_filled_from_a_mirror_without_the_hub(tmp_path: Path) -> None:
    mirror, home = tmp_path / "mirror", tmp_path / "pod"
    config = tmp_path / "run.json"
    with local_hub() as hub:
        commits = {part: hub.push(f"tiny/{part}", folder_content(TINY / part)) for part in PARTS}
        of = ids(f"@{commits['codec']}")
        release = written(of, tmp_path)
        prefetch = ("job", "prefetch", "--config", config, "--from", mirror)
        said = ttsrl(hub, home, *prefetch, code=2)
        assert "is not a mirror of models: it has no mirror.json" in said
        ttsrl(hub, tmp_path / "here", "mirror", release, "--models-to", mirror)
        fetched = len(hub.fetched)
        ttsrl(hub, tmp_path / "here", "mirror", release, "--models-to", mirror)
        assert len(hub.fetched) == fetched

        hub.broken = True
        said = ttsrl(hub, home, "job", "await-models", "--config", config, code=1)
        assert "component=prefetch" in said
        ttsrl(hub, home, *prefetch)
        ttsrl(hub, home, "job", "await-models", "--config", config)
        requests = hub.requests
        found = python(DIGEST % (tuple(of.values()),), hub, home, HF_HUB_OFFLINE="1")
        assert hub.requests == requests
        written({**of, "judge": "tiny/another"}, tmp_path)
        said = ttsrl(hub, home, *prefetch, code=2)
        assert "has no model 'tiny/another' (it has model tiny/codec@" in said
    assert found.split() == [
        word
        for part in PARTS
        for word in (f"tiny/{part}@{commits[part]}", folder_digest(TINY / part))
    ]


def test_the_hub_itself_fills_a_cache(tmp_path: Path) -> None:
    with local_hub() as hub:
        for part in PARTS:
            hub.push(f"tiny/{part}", folder_content(TINY / part))
        written(ids(""), tmp_path)
        config = ("--config", tmp_path / "run.json")
        ttsrl(hub, tmp_path / "pod", "job", "prefetch", *config, "--from", "hub")
        hub.broken = True
        ttsrl(hub, tmp_path / "pod", "job", "await-models", *config)
        found = python(DIGEST % (("tiny/policy",),), hub, tmp_path / "pod", HF_HUB_OFFLINE="1")
    assert folder_digest(TINY / "policy") in found


def test_a_release_lists_its_images_and_models(tmp_path: Path) -> None:
    registry = {"registry": "mirror.example.org/team"}
    first = {"name": "first", "image": "mirror.example.org/first:1"}
    release = written(
        ids(""), tmp_path, image=registry, reward={"initContainers": [first], "gpu": {"count": 0}}
    )
    images, models, said = (
        CliRunner().invoke(app, ["mirror", str(release), *only]).output
        for only in (("--only", "images"), ("--only", "models"), ())
    )
    images, models = images.split(), models.split()
    version = images[1].rpartition(":")[2]
    names = ("jobs", "reward", "train")
    assert images == [
        "mirror.example.org/first:1",
        *(f"mirror.example.org/team/ttsrl-{name}:{version}" for name in names),
    ]
    assert models == [f"tiny/{part}" for part in sorted(PARTS)]
    assert "model    tiny/whisper  (reward.whisper.model)" in said


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a: [", "cannot be read as YAML"),
        ("\xff", "cannot be read as YAML"),
        ("", "has no objects of Kubernetes"),
        ("kind: Service\nmetadata: {name: x}", "this is not a release of ttsrl"),
    ],
)
def test_what_is_not_a_release_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    file = tmp_path / "release.yaml"
    file.write_text(text, encoding="latin-1")
    refused = CliRunner().invoke(app, ["mirror", str(file)])
    assert refused.exit_code == 2 and wrong in refused.output


def test_the_job_has_another_name_for_other_models_and_the_service_waits_for_it() -> None:
    def job(**prefetch: Any) -> dict[str, Any]:
        of = prefetch.pop("of", ids(""))
        made = render(values(of, prefetch={"enabled": True, **prefetch}))
        [found] = [one for one in made if one["kind"] == "Job"]
        reward = find(made, "Deployment", "ttsrl-reward")["spec"]
        [waits] = reward["template"]["spec"]["initContainers"]
        assert waits["command"][:3] == ["ttsrl", "job", "await-models"]
        assert reward["progressDeadlineSeconds"] > 14400
        return found

    first, other = job(), job(of=ids("@main"))
    assert first["metadata"]["name"] == job()["metadata"]["name"] != other["metadata"]["name"]
    [container] = first["spec"]["template"]["spec"]["containers"]
    assert container["args"][-2:] == ["--from", "hub"]
    assert {"name": "HF_HUB_OFFLINE", "value": "0"} in container["env"]  # tiny: offline elsewhere
    source = "s3://mirror/models"
    [container] = job(**{"from": source})["spec"]["template"]["spec"]["containers"]
    assert container["args"][-2:] == ["--from", source] and "env" not in container
    assert json.dumps(render(values(ids("")))).count("prefetch") == 0
