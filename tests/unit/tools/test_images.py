"""The images: their recipe's own script, the digests of their bases, and what is in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tools.bases import DOCKERFILE, UnpinnedError, bases, pin, require_pinned
from tools.version import ROOT

SCRIPT = ROOT / "images/install.sh"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def run_script(step: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", SCRIPT, step],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


def test_another_architecture_is_refused_before_anything_is_installed(tmp_path: Path) -> None:
    (tmp_path / "uname").write_text("#!/bin/sh\necho aarch64\n")
    (tmp_path / "uname").chmod(0o755)
    done = run_script("system", tmp_path, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert done.stderr.endswith("this is aarch64: docker build --platform linux/amd64\n")


@pytest.fixture
def dockerfile(tmp_path: Path) -> Path:
    copy = tmp_path / DOCKERFILE
    copy.parent.mkdir()
    copy.write_text((ROOT / DOCKERFILE).read_text())
    return copy


def test_a_base_without_a_digest_is_named(tmp_path: Path, dockerfile: Path) -> None:
    tags = [base.name for base in bases()]
    assert len(tags) == 2
    text = dockerfile.read_text()
    for base in bases():
        written = f"{base.name}@{base.digest}" if base.digest else base.name
        text = text.replace(f"={written}\n", f"={base.name}@{DIGEST}\n")
    dockerfile.write_text(text)
    require_pinned(tmp_path)
    assert [(base.name, base.digest) for base in bases(tmp_path)] == [(t, DIGEST) for t in tags]
    dockerfile.write_text(text.replace(f"{tags[1]}@{DIGEST}", tags[1]))
    with pytest.raises(UnpinnedError, match=f"TRAIN_BASE={tags[1]} without a digest.*pin-bases"):
        require_pinned(tmp_path)


def test_without_skopeo_nothing_is_pinned(
    tmp_path: Path, dockerfile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dockerfile.read_text()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnpinnedError, match="apt-get install skopeo"):
        pin(tmp_path)
    assert dockerfile.read_text() == before
