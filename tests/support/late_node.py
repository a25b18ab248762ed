"""A process whose Ray is late."""

from __future__ import annotations

from pathlib import Path


def start(log: Path, late: int, message: str) -> None:
    """Stands for verl's process, whose Ray cannot be made late here: fails `late` times."""
    with log.open("a") as file:
        file.write(".")
    if len(log.read_text()) <= late:
        raise Exception(message)  # the class that Ray raises
