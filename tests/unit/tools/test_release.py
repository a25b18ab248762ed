"""`make release`: one version in all places, the changelog, the commands for images."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
import yaml

from tools.bases import bases
from tools.changelog import CHANGELOG, add_release, release_notes, release_section
from tools.images import build_commands
from tools.release import write_release
from tools.version import PLACES, ROOT, ReleaseError, current_version, files_with_version

OF_OTHERS = ("uv.lock", "go.mod", "go.sum", CHANGELOG)
"""Files in which the same number may be another project's, or an older version of this one."""
DAY = date(2030, 1, 31)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of all files that a release changes."""
    for path in (*(path for path, _ in files_with_version()), ROOT / CHANGELOG):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path


def lines_with(version: str, path: Path) -> list[str]:
    """Lines that hold a version, not as a part of a longer one and not as another project's."""
    place = re.compile(rf"(?<![\w.=]){re.escape(version)}(?![\w.])")
    text = path.read_bytes().decode(errors="replace")
    return [line for line in text.splitlines() if place.search(line)]


def test_a_release_changes_the_version_everywhere(tree: Path) -> None:
    old = current_version(tree)
    changed = write_release("98.7.6", DAY, tree)
    assert current_version(tree) == "98.7.6"
    assert {path.relative_to(tree).parts[0] for path in changed} == {
        *(glob.split("/")[0] for glob in PLACES),
        CHANGELOG,
    }
    for path, _ in files_with_version(tree):
        if path.name not in OF_OTHERS:
            assert lines_with(old, path) == [], path
    chart = yaml.safe_load((tree / "helm/Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == "98.7.6"
    assert 'name = "ttsrl"\nversion = "98.7.6"' in (tree / "uv.lock").read_text()


def test_no_other_file_repeats_the_version() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    places = {path for path, _ in files_with_version()}
    files = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    others = [path for path in files if path.is_file() and path.name not in OF_OTHERS]
    repeated = {
        str(path.relative_to(ROOT)): lines
        for path in others
        if path not in places and not path.is_symlink()
        if (lines := lines_with(current_version(), path))
    }
    assert repeated == {}


def test_the_changelog_gets_a_heading_with_the_date(tree: Path) -> None:
    before = release_section((tree / CHANGELOG).read_text(), "Unreleased")
    write_release("98.7.6", DAY, tree)
    after = (tree / CHANGELOG).read_text()
    assert "## [Unreleased]\n\n## [98.7.6] - 2030-01-31\n" in after
    assert release_section(after, "98.7.6") == before
    assert release_section(after, "Unreleased") == ""


@pytest.mark.parametrize("version", ["1", "v1.2.3", "1.2.3+x", "latest", current_version()])
def test_a_bad_version_is_refused_before_anything_is_written(tree: Path, version: str) -> None:
    before = {path: path.read_text() for path in tree.rglob("*") if path.is_file()}
    with pytest.raises(ReleaseError, match=rf"^VERSION={re.escape(version)} is .*; give "):
        write_release(version, DAY, tree)
    assert before == {path: path.read_text() for path in before}


def test_a_release_without_changes_is_refused() -> None:
    with pytest.raises(ReleaseError, match="lists nothing under Unreleased; say"):
        add_release(
            "# Changelog\n\n## [Unreleased]\n\n## [1.0.0] - 2029-01-01\n\n- x\n", "2.0.0", DAY
        )


def test_the_images_are_built_with_labels() -> None:
    commands = list(build_commands("ghcr.io/me/", options=["--push"]))
    version = current_version()
    assert [re.findall(r"--tag=(\S+)", command) for command in commands] == [
        [f"ghcr.io/me/ttsrl-{name}:{version}"] for name in ("reward", "train", "jobs")
    ]
    for command in commands:
        assert f"--label=org.opencontainers.image.version={version} " in command
        assert '--label=org.opencontainers.image.revision="$(git rev-parse HEAD)" ' in command
        assert command.endswith(" --push .")
        assert " --platform=linux/amd64 " in command
    names = [re.findall(r"--label=org.opencontainers.image.base.name=(\S+)", c) for c in commands]
    assert names == [[base.name] for base in (bases()[0], bases()[1], bases()[0])]
    assert "--target=train " in commands[1]
    assert list(build_commands("ghcr.io/me/", "ttsrl-train", ["--push"])) == commands[1:2]
    assert list(build_commands(image="ttsrl-trainer")) == []


def test_the_notes_of_a_release_are_its_section_of_the_changelog(tree: Path) -> None:
    old = current_version(tree)
    with pytest.raises(ReleaseError, match=f"^VERSION=98.7.6, but pyproject.toml has {old}; run"):
        release_notes("98.7.6", tree)
    write_release("98.7.6", DAY, tree)
    assert release_notes("98.7.6", tree).startswith("### Added")
