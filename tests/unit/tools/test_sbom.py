"""Bills of materials: valid, of what is installed, and the same as uv.lock."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement

from support.paths import ROOT
from tools.sbom import bill, extras_of

UV = shutil.which("uv") or str(ROOT / ".cache/uv/bin/uv")


@pytest.mark.parametrize("image", ["ttsrl-reward", "ttsrl-train"])
def test_a_bill_is_valid_and_lists_what_the_image_installs(image: str) -> None:
    made = bill(image, UV)
    few = copy.deepcopy(made)
    for part in few["components"][2:]:  # the validator takes a tenth of a second for an address
        part.pop("externalReferences", None)
    assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(json.dumps(few)) is None
    names = [part["name"] for part in made["components"]]
    assert len(names) == len(set(names))  # of a package with a version per Python, the image's
    listed = {f"{p['name']}=={p['version']}" for p in made["components"] if p["name"] != "ttsrl"}
    assert listed == installed(image)
    assert made["metadata"]["component"]["name"] == image
    [base] = made["metadata"]["component"]["components"]
    assert base["name"] == "nvidia/cuda"
    assert ("devel" in base["version"]) == (image == "ttsrl-train") or "sha256:" in base["version"]


def installed(image: str) -> set[str]:
    """What the list that the Dockerfile makes has for the Python of the base."""
    options = ["--no-header", "--no-annotate", "--no-hashes", "--no-emit-project"]
    extras = [f"--extra={extra}" for extra in extras_of(image)]
    listed = subprocess.run(
        [UV, "export", "--locked", "--quiet", "--no-default-groups", *options, *extras],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    base = {"python_version": "3.12", "python_full_version": "3.12.3"}
    wanted = [Requirement(line) for line in listed.stdout.splitlines()]
    return {f"{r.name}{r.specifier}" for r in wanted if not r.marker or r.marker.evaluate(base)}
