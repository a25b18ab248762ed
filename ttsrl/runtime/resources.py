"""The files that come with ttsrl: examples/. They are not Python."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
IN_WHEEL = PACKAGE / "resources"
"""Where pyproject.toml puts them in a wheel; a checkout has them at its root."""


def resource(path: str) -> Path:
    """Where a file or folder lies, by its path in a checkout: `examples/tiny/run.json`."""
    return (IN_WHEEL if IN_WHEEL.is_dir() else PACKAGE.parent) / path
