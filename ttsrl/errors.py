"""Errors whose message is for the user; the commands show it without a traceback."""


class BadInput(ValueError):
    """The user's input cannot be used; the message gives the fact, the value and the way out.

    Exit code 2.
    """


class Failure(RuntimeError):
    """Something failed that no other input mends; it may succeed another time. Exit code 1."""


def reason_of(error: BaseException) -> str:
    """What another program's error says, on one line; its class where it says nothing."""
    return " ".join(str(error).split())[:200] or type(error).__name__
