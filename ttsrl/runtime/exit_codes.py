"""How a command ends: exit code, and one plain message where it did not go well."""

from __future__ import annotations

import errno
import os
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from ttsrl.errors import BadInput, Failure, Stopped

DONE, FAILED, BAD_INPUT, STOPPED, INTERRUPTED = 0, 1, 2, 3, 130

STOPPED_BY = "stopped: "
"""How the line begins that tells of a guard."""

FULL = {errno.ENOSPC, errno.EDQUOT}
REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
NO_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR}


def exit_code(command: Callable[[], int | None], *, traceback_in_output: bool = False) -> int:
    """Run a command; 0 done, 1 failed, 2 bad input, 3 stopped by a guard, 130 interrupted, or what
    it returns.

    The traceback of an unexpected error is added to a file in the user's home; with
    `traceback_in_output`, where the output is a log, it goes to standard error.
    """
    try:
        code = command()
        sys.stdout.flush()
    except BadInput as error:
        return _tell(f"error: {error}", BAD_INPUT)
    except Failure as error:
        return _tell(f"error: {error}", FAILED)
    except Stopped as stop:
        return _tell(f"{STOPPED_BY}{stop}", STOPPED)
    except KeyboardInterrupt:
        return _tell("interrupted; the same command resumes", INTERRUPTED)
    except BrokenPipeError:  # who read our output, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in FULL:
            return _tell(f"error: {_of(error)}; free some space and begin again", FAILED)
        if isinstance(error, OSError) and error.errno in REFUSED:
            return _tell(f"error: {_of(error)}; give a folder that you may use", BAD_INPUT)
        if isinstance(error, OSError) and error.errno in NO_PATH:
            return _tell(f"error: {_of(error)}; give another path", BAD_INPUT)
        if traceback_in_output:
            traceback.print_exc()
            return FAILED
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        return _tell(f"error: unexpected: {what}; traceback: {_kept_traceback()}", FAILED)
    return DONE if code is None else code


def exit_on_sigterm() -> None:
    """From now on SIGTERM raises SystemExit, with the signal's exit code."""

    def leave(number: int, _: FrameType | None) -> None:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, leave)


def _kept_traceback() -> str:
    """The file that the traceback of the current error was added to; where the home cannot be
    written to, the traceback itself."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    file = Path(home).expanduser() / "ttsrl" / "errors.log"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {shlex.join(sys.argv)}\n")
            traceback.print_exc(file=log)
    except OSError:
        return f"\n{traceback.format_exc()}"
    return str(file)


def _of(error: OSError) -> str:
    """`No space left on device: runs/a.wav`."""
    where = f": {error.filename}" if error.filename is not None else ""
    return f"{error.strerror}{where}"


def _tell(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
