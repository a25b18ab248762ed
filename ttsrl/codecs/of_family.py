"""Whether a codec speaks the tokens of a family: codebooks of two codecs may have one size."""

from __future__ import annotations

from pathlib import Path

from ttsrl.codecs.registry import codec_kind
from ttsrl.errors import BadInput
from ttsrl.families.base import Family
from ttsrl.families.registry import FAMILIES, family_class


def check_codec_of_family(family: str, codec: Path) -> None:
    """Raise BadInput for a family and the folder of a published codec of another family.

    A codec that no family names, as one of your own, is not refused.
    """
    kind, taught = codec_kind(str(codec)), family_class(family).codecs
    speakers = [name for name in FAMILIES if kind in family_class(name).codecs]
    if not speakers or kind in taught:
        return
    raise BadInput(
        f"the codec at {codec} is {kind}, and the family {family} was taught the tokens of "
        f"{' or '.join(sorted(taught))}; use the codec that the model was trained with, or another "
        f"family ({kind}: {', '.join(speakers)}; docs/extending.md has how to add your own)"
    )


def check_frame(name: str, family: Family, codec: str, frame_tokens: int) -> None:
    """Raise BadInput unless a frame of the family has as many tokens as one of the codec."""
    places = len(family.allowed_in_frame)
    if places != frame_tokens:
        raise BadInput(
            f"a frame of {name} has {places} tokens, and one of the codec {codec} has "
            f"{frame_tokens}; use the codec that the model was trained with"
        )
