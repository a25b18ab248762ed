"""Writes the dashboards, or asks a Prometheus whether their panels would show anything."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import httpx

from monitoring import cost, reward, training
from monitoring.board import dump
from monitoring.check import answers

BOARDS = (reward.BOARD, training.BOARD, cost.BOARD)
FOLDER = Path(__file__).parents[1] / "helm/dashboards"


def main() -> None:
    """Exits with 1 when a panel is empty."""
    parser = argparse.ArgumentParser(prog="python -m monitoring", description=__doc__)
    parser.add_argument("--check", metavar="URL", help="a Prometheus that scrapes the release")
    parser.add_argument("--namespace", default=".+")
    parser.add_argument("--release", default="ttsrl")
    parser.add_argument("--range", default="1h", help="range shown: 15m, 6h, 2d")
    arguments = parser.parse_args()
    if arguments.check is None:
        write(FOLDER)
        return
    chosen = {"namespace": arguments.namespace, "release": arguments.release}
    try:
        with httpx.Client(base_url=arguments.check, timeout=60) as prometheus:
            found = answers(prometheus, BOARDS, chosen, arguments.range)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        sys.exit(
            f"error: no answer of a Prometheus at {arguments.check} ({error}); give its address, "
            "as http://127.0.0.1:9090"
        )
    empty = [answer for answer in found if not answer.series]
    for answer in empty:
        print(f"{answer.problem or 'no series'}: {answer.panel}\n    {answer.query}")
    print(f"{len(found) - len(empty)} of {len(found)} queries have series")
    sys.exit(bool(empty))


def write(folder: Path) -> None:
    """One file a dashboard, named by its uid."""
    folder.mkdir(exist_ok=True)
    for board in BOARDS:
        (folder / f"{board.uid}.json").write_text(dump(board), encoding="utf-8")


if __name__ == "__main__":
    main()
