"""Which run a request comes from: runs have queues of their own."""

from __future__ import annotations

import re
from contextvars import ContextVar

from starlette.requests import Request

from ttsrl.errors import BadInput
from ttsrl.wire import RUN_HEADER, RUN_NAME

UNNAMED = "address "
"""How the queue of a client is called that does not name its run."""

asking: ContextVar[str] = ContextVar("asking", default=UNNAMED)
"""The run, or the address, of the request that is answered."""


def asker_of(request: Request) -> str:
    """The run that the request names, or the address that it comes from. Raises BadInput."""
    name = request.headers.get(RUN_HEADER)
    if name is None:
        return f"{UNNAMED}{request.client.host if request.client else ''}"
    if not re.fullmatch(RUN_NAME, name):
        raise BadInput(
            f"{RUN_HEADER} is {name[:80]!r}: a run's name has at most 47 of a-z, 0-9 and -; "
            "leave the header out to be told apart by address"
        )
    return name
