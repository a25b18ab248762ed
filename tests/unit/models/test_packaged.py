"""Models that packages ship: found without an import, and named where a package is missing."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.paths import ROOT
from ttsrl.errors import BadInput
from ttsrl.models.hub import folder_digest, local_folder, model_digest, weight_digests
from ttsrl.models.packaged import PACKAGED, packaged_model

PYPROJECT = ROOT / "pyproject.toml"
INSTALLED = sorted(name for name in PACKAGED if importlib.util.find_spec(name))


@pytest.mark.parametrize("name", INSTALLED)
def test_the_weights_of_a_package_are_there_and_may_be_named_as_a_model(name: str) -> None:
    weights = packaged_model(name)
    assert weights.exists()
    if weights.is_dir():
        assert local_folder(name) == weights
        assert model_digest(name) == folder_digest(weights)
    else:
        assert weight_digests(name) == {model_digest(name)} == {model_digest(str(weights))}


@pytest.mark.parametrize("name", sorted(PACKAGED))
def test_a_missing_package_is_named_with_its_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=f"{name}, which is not installed; install the extra"):
        packaged_model(name)


def test_a_folder_of_that_name_is_that_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pocketsphinx").mkdir()
    monkeypatch.chdir(tmp_path)
    assert local_folder("pocketsphinx").resolve() == tmp_path / "pocketsphinx"


def test_the_extras_that_errors_name_install_their_packages() -> None:
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    for name, model in PACKAGED.items():
        wanted = [
            line
            for line in extras[model.extra]
            if re.match(rf"{name}\b".replace("_", "[-_]"), line)
        ]
        assert len(wanted) == 1, name


def test_no_package_is_imported_to_find_its_weights() -> None:
    code = (
        "import sys; from ttsrl.models.packaged import PACKAGED, packaged_model; "
        f"[packaged_model(name) for name in {INSTALLED}]; "
        "assert not sys.modules.keys() & PACKAGED.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
