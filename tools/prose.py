"""The English of the pages: the project's own list, then proselint. Code in them is not read.

    python -m tools.prose [PAGES]

Without PAGES: README.md and its neighbours, docs/, the READMEs of folders, and the comments of the
chart's values. CONTRIBUTING.md says what the style is for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from proselint.checks import __register__ as CHECKS
from proselint.config import load_from
from proselint.registry import CheckRegistry
from proselint.tools import LintFile

CheckRegistry().register_many(CHECKS)  # once: each call adds all of them again

ROOT = Path(__file__).parents[1]
PAGES = (
    "*.md",
    "docs/**/*.md",
    "examples/**/*.md",
    "helm/*.md",
    "services/**/*.md",
    "tests/**/*.md",
    "ttsrl/**/*.md",
)
VALUES = "helm/values.yaml"

_COUNTED = (
    r"nats|seconds|minutes|hours|times|once|twice|files|calls|utterances|tokens|steps|texts"
    r"|rollouts|prompts|clips|samples|images|lines|bytes|[kKMGT]i?B|ms|s"
)
_UNIT = r"second|minute|hour|day|week|month|step|stage|run|token|utterance|rollout"

STYLE = {
    r"(?<!there.)\b(?:is|are|was|were|be) no (?!longer|more|less|better|worse|faster|slower)": (
        'say "is not a"; "is no" reads as a mistake'
    ),
    rf"\b(?:{_COUNTED}) an? (?:{_UNIT})\b(?! of)": 'a rate has "per": "files per second"',
    r"\bnobody\b": 'say who, or "no one"',
    r"\b(?:go|goes|going|gone|went) on\b": 'say "continue"',
    r"\b(?:mend|mends|mended)\b": 'say "fix" or "repair"',
    r"\b(?:hears|never heard)\b": "a program reads, measures or recognises",
    r"\b(?:turnings|whereof|thereof|therein|hereby|as ever)\b": "an old word; say it plainly",
    r"\bso many\b": "give the number",
    r"\bbut for\b": 'say "except"',
    r"\bbe had\b": 'say "is not available"',
    r"\b(?:lie|lies|lay) (?:in|on|at|under|beside|there)\b": 'a file "is" in a folder',
    r"\bstands? (?:in|on|at|there|beside)\b": 'say "is" or "is written"',
    r"\b(?:obviously|simply|of course|needless to say)\b": "leave it out",
    r"\b([a-z]{2,})\s\1\b": "a word is there twice",
}
"""Expression -> what to write instead, and why."""


CODE = re.compile(r"^( *)```.*?^\1```$|`[^`]+`|\]\([^)\s]*\)|<!--|-->", re.MULTILINE | re.DOTALL)


def pages(root: Path = ROOT) -> list[Path]:
    """Every page that is checked."""
    return sorted({page for glob in PAGES for page in root.glob(glob)} | {root / VALUES})


def prose(page: Path) -> str:
    """A page with blanks in place of code, addresses and, in YAML, everything but comments."""
    text = page.read_text()
    if page.suffix == ".yaml":
        return re.sub(r"^([^#\n]*)(# ?|$)", lambda m: " " * len(m[0]), text, flags=re.MULTILINE)
    code = re.compile(
        r"^( *)```.*?^\1```$|`[^`]+`|\]\([^)\s]*\)|<!--|-->", re.MULTILINE | re.DOTALL
    )
    return code.sub(lambda found: re.sub(r"[^\n]", "_", found[0]), text)


def style_errors(text: str) -> Iterator[tuple[int, str]]:
    """(line, message) of what the project's list does not allow."""
    for expression, reason in STYLE.items():
        for found in re.finditer(expression.replace(" ", r"\s+"), text, re.IGNORECASE | re.DOTALL):
            line = text.count("\n", 0, found.start()) + 1
            yield line, f"{' '.join(found[0].split())!r}: {reason}"


def proselint_errors(text: str) -> Iterator[tuple[int, str]]:
    """(line, message) of what proselint finds with .proselintrc.json."""
    for found in LintFile("page", text).lint(load_from(ROOT / ".proselintrc.json")):
        yield found.pos[0], f"{found.check_result.message} ({found.check_result.check_path})"


def main(given: list[str]) -> int:
    """Print what is wrong; 1 if anything is."""
    wrong = 0
    for page in map(Path, given) if given else pages():
        text = prose(page)
        for line, message in sorted([*style_errors(text), *proselint_errors(text)]):
            print(f"{page.relative_to(ROOT) if page.is_absolute() else page}:{line}: {message}")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
