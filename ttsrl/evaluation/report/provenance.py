"""With what a report was made: packages, code, machine."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ttsrl.config.models import split_revision
from ttsrl.config.schema import RunConfig
from ttsrl.facts import models_in
from ttsrl.runtime.machine import cores

PACKAGES = ("ttsrl", "verl", "ray", "torch", "transformers", "vllm", "bentoml", "ctranslate2")


def provenance(run: RunConfig) -> dict[str, str]:
    """Name -> value, in the order to show; what cannot be found out is left out.

    Of models given by an id it has the commits that the run was started with.
    """
    facts = {
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "git revision": _revision(),
        "machine": _machine(),
        "Python": platform.python_version(),
    }
    facts |= {key: m for key, m in models_in(run).items() if split_revision(m)[1] is not None}
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return {name: value for name, value in facts.items() if value}


def _revision() -> str:
    """The checkout's commit, marked where files differ from it, or the image's."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get("TTSRL_REVISION", "")
    return described.stdout.strip()


def _machine() -> str:
    import torch

    processor = platform.processor() or platform.machine()
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    parts = [f"{cores():g} × {processor}"]
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    parts.append(f"{memory_bytes / 2**30:.0f} GiB")
    parts += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ", ".join(parts)


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.is_file() else []
