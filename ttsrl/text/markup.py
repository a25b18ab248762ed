"""What stands in a text and is not read aloud: tags, SSML, HTML entities, events in brackets.

It is the same in every language. `a < b and c > d` has none, nor has `see [1]` or `[sic]`.
`[the king]` of an editor cannot be told from `[door slams]`, so both are markup.
"""

from __future__ import annotations

import re

MARK = re.compile(
    r"""</?[A-Za-z][\w:.-]*(?:\s+[\w:.-]+\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>]+))*\s*/?>"""  # tags
    r"|<!--.*?-->|<[?!][^<>]*>"  # comments, declarations
    r"|&(?:\#\d+|\#x[0-9a-fA-F]+|amp|lt|gt|quot|apos|nbsp);"  # characters by name
    r"|\[(?!sic\])\s*[^\W\d_][\w '-]{0,40}\]",  # events
    re.DOTALL,
)


def marks_in(text: str) -> list[str]:
    """Every piece of markup in a text, in order."""
    return MARK.findall(text) if any(c in text for c in "<&[") else []


def without_marks(text: str) -> str:
    """A text without its markup: what is heard of it. One without markup comes back as it is."""
    if not marks_in(text):
        return text
    return " ".join(MARK.sub(lambda mark: " " if mark[0][0] == "[" else "", text).split())
