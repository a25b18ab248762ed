"""Texts in which there is nothing to say.

Control characters mean a wrong encoding, or a program's slip.
"""

from __future__ import annotations

import re

from ttsrl.errors import BadInput, shorten

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def check_controls(text: str, what: str = "text") -> None:
    """Raise BadInput, naming `what` it is, for a text with a control character."""
    if bad := CONTROL.search(text):
        raise BadInput(
            f"{what} contains the control character U+{ord(bad[0]):04X} at position {bad.start()}; "
            "remove it, or check the file's encoding (UTF-8 is expected)"
        )


def check_sayable(text: str, what: str, way_out: str) -> None:
    """Raise BadInput, naming `what` it is, for a control character, and for no letter or digit."""
    check_controls(text, what)
    if not any(character.isalnum() for character in text):
        raise BadInput(f"{what} is {shorten(text)}, without a letter or digit; {way_out}")
