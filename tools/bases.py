"""The images that images/Dockerfile builds on, and their digests: which files a tag stood for.

python -m tools.bases pin      asks each registry, by skopeo, and writes tag@digest
python -m tools.bases check    exit code 1 where one is missing
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tools.version import ROOT

DOCKERFILE = "images/Dockerfile"
BASE = re.compile(
    r"^ARG (?P<argument>(?:\w+_)?BASE)=(?P<name>[^\s@]+)(?:@(?P<digest>sha256:[0-9a-f]{64}))?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Base:
    """One image that others are built on; `digest` is empty where only the tag is written."""

    argument: str
    name: str
    digest: str

    @property
    def repository(self) -> str:
        """The name without the tag."""
        return re.sub(r":[^:/]+$", "", self.name)


class UnpinnedError(Exception):
    """A base without a digest, or one that cannot be had; the text says what to do."""


def bases(root: Path = ROOT) -> list[Base]:
    """Each argument of the Dockerfile that names a base."""
    text = (root / DOCKERFILE).read_text()
    return [Base(m["argument"], m["name"], m["digest"] or "") for m in BASE.finditer(text)]


def require_pinned(root: Path = ROOT) -> None:
    """Raises UnpinnedError for bases without a digest."""
    if missing := [base for base in bases(root) if not base.digest]:
        listed = ", ".join(f"{base.argument}={base.name}" for base in missing)
        raise UnpinnedError(
            f"{DOCKERFILE}: {listed} without a digest, so that a later build may get another base; "
            "run `make pin-bases` and commit the file"
        )


def pin(root: Path = ROOT, *options: str) -> list[Base]:
    """Write the digest that each tag stands for now. Raises UnpinnedError before it writes."""
    if not (skopeo := shutil.which("skopeo")):
        raise UnpinnedError("skopeo is missing, which asks registries: apt-get install skopeo")
    found = [Base(b.argument, b.name, _digest(skopeo, b.name, options)) for b in bases(root)]
    path = root / DOCKERFILE
    text = path.read_text()
    for base in found:
        line = rf"^ARG {base.argument}=.*$"
        new = f"ARG {base.argument}={base.name}@{base.digest}"
        text = re.sub(line, new, text, count=1, flags=re.MULTILINE)
    path.write_text(text)
    return found


def _digest(skopeo: str, name: str, options: tuple[str, ...]) -> str:
    # Docker's short names: nvidia/cuda is docker.io/nvidia/cuda.
    command = [skopeo, "inspect", "--no-tags", "--format", "{{.Digest}}", *options]
    done = subprocess.run([*command, f"docker://{name}"], capture_output=True, text=True)
    if done.returncode:
        raise UnpinnedError(f"no digest of {name}: {done.stderr.strip()[-500:]}")
    return done.stdout.strip()


def main(command: str, *options: str) -> None:
    """Pin or check; what was found is printed."""
    try:
        if command == "pin":
            for base in pin(ROOT, *options):
                print(f"{base.argument}={base.name}@{base.digest}")
        elif command == "check":
            require_pinned()
        else:
            sys.exit(f"{command} is neither pin nor check")
    except UnpinnedError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
