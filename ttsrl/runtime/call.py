"""The child of a job: calls the function that its standard input has, pickled with its arguments.

Exit codes are those of a command; a traceback is for the log that this writes to.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable

from ttsrl.runtime.exit_codes import exit_code
from ttsrl.runtime.native_thread import abandon_native_threads

Call = tuple[Callable[..., int | None], tuple[object, ...]]
"""A function that Python finds by its name, and its arguments."""


def main() -> int:
    """The function's exit code, or that of what it raised."""
    code = exit_code(_call, traceback_in_output=True)
    abandon_native_threads(code)
    return code


def _call() -> int | None:
    with open(0, "rb", closefd=False) as sent:
        call: Call = pickle.load(sent)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    function, arguments = call
    return function(*arguments)


if __name__ == "__main__":
    sys.exit(main())
