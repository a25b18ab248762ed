"""Errors whose message is for the user; the commands show it without a traceback."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable


class BadInput(ValueError):
    """The user's input cannot be used; the message gives the fact, the value and the way out.

    Exit code 2.
    """


class Failure(RuntimeError):
    """Something failed that no other input can fix; it may succeed another time. Exit code 1."""


class Stopped(RuntimeError):
    """A guard of the run ended it: a checkpoint is published, and trying again ends the same way.

    Exit code 3.
    """


def reason_of(error: BaseException) -> str:
    """What another program's error says, on one line; its class where it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def shorten(value: object, limit: int = 60) -> str:
    """A value as JSON in one line, cut to `limit` characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'steps'?` when a known name is near, else all known names."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
