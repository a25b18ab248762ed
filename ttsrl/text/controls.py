"""Characters that no text has: they mean a wrong encoding, or a program's slip."""

from __future__ import annotations

import re

from ttsrl.errors import BadInput

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def check_controls(text: str, what: str = "text") -> None:
    """Raise BadInput, naming `what` it is, for a text with a control character."""
    if bad := CONTROL.search(text):
        raise BadInput(
            f"{what} contains the control character U+{ord(bad[0]):04X} at position {bad.start()}; "
            "remove it, or check the file's encoding (UTF-8 is expected)"
        )
