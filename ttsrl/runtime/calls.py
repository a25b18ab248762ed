"""The child of a `KeptProcess`: makes one call after the other, as they come on its standard input.

Each is answered when it has returned. One that fails ends the process, with the exit code that the
command would have: what a failure leaves in memory is not to spoil the next call.
"""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection

from ttsrl.runtime.call import Call
from ttsrl.runtime.exit_codes import exit_code
from ttsrl.runtime.native_thread import abandon_native_threads


def main() -> int:
    """0 after the last call, else the exit code of the call that failed."""
    code = 0
    with Connection(os.dup(0)) as asked:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        while not (code := exit_code(lambda: _next(asked), traceback_in_output=True)):
            try:
                asked.send(code)
            except (BrokenPipeError, ConnectionResetError):  # who asked is gone
                break
    abandon_native_threads(code)
    return code


def _next(asked: Connection) -> int | None:
    try:
        call: Call = asked.recv()
    except (EOFError, ConnectionResetError):
        sys.exit(0)
    function, arguments = call
    return function(*arguments)


if __name__ == "__main__":
    sys.exit(main())
