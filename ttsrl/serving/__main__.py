"""Serves rewards: python -m ttsrl.serving --config run.json --port 8000."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ttsrl.errors import BadInput
from ttsrl.serving.serve import serve


def main() -> int:
    """Exits with 0 after SIGTERM, 130 after Ctrl-C, 2 for what the user can fix, else 1."""
    parser = argparse.ArgumentParser(prog="python -m ttsrl.serving", description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="the run's JSON file")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args()
    try:
        return serve(arguments.config, arguments.host, arguments.port)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
