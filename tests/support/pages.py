"""The commands that README and docs tell their readers to type."""

from __future__ import annotations

import re
from collections.abc import Iterable


def commands(pages: Iterable[str]) -> list[str]:
    """Every command in the text of some pages, once: lines of code blocks, and code in sentences.

    Blocks that name a language are files.
    """
    found: list[str] = []
    for page in pages:
        parts = re.split(r"^```(\w*)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
        for language, block in zip(parts[1::3], parts[2::3], strict=True):
            lines = block.replace("\\\n", " ").splitlines()
            found += [line.split(" # ")[0].strip() for line in lines if not language]
        for prose in parts[::3]:
            spans = re.findall(r"`((?:kubectl|helm|ttsrl|python) [^`]+)`", prose)
            found += [" ".join(span.replace(r"\|", "|").split()) for span in spans]
    return list(dict.fromkeys(filter(None, found)))
