"""What the policy is told of a text of the data, and whether the prompt that says so fits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ttsrl.config.schema import RunConfig
from ttsrl.data.references import DataVoice, reference_in
from ttsrl.data.speech_prefix import check_codes
from ttsrl.data.texts import Text
from ttsrl.errors import BadInput, shorten
from ttsrl.families.base import Family
from ttsrl.families.conditions import Conditions, VoiceReference


def conditions_of(run: RunConfig, text: Text, voice: DataVoice | None = None) -> Conditions:
    """What the policy is told of a text beside its words."""
    return run.prompt.conditions(
        style=text.style,
        label=text.label,
        language=text.language,
        reference=VoiceReference(voice.text, voice.tokens) if voice else None,
    )


def conditions_in(run: RunConfig, extra_info: Mapping[str, Any]) -> Conditions:
    """The same of a row that `prepare` has written."""
    return run.prompt.conditions(
        style=extra_info.get("style"),
        label=extra_info.get("label"),
        language=extra_info.get("language") or run.data.language,
        reference=reference_in(extra_info),
    )


def check_prompts(
    run: RunConfig,
    train: Iterable[Mapping[str, Any]],
    held_out: Iterable[Mapping[str, Any]],
    family: Family,
) -> None:
    """Every training prompt must fit, and what any prompt continues be of the codebook.

    Of each text what `prepare` writes as its `extra_info`. Raises BadInput.
    """
    longest = run.rollout.max_prompt_tokens
    frame = len(family.prompt_ids("a"))
    for info in held_out:
        _begun(run, info, family)
    for info in train:
        text, prefix = info["text"], info["speech_prefix"]
        conditions = conditions_in(run, info)
        begun = _begun(run, info, family)
        # a token is a byte or more, and few texts are near the limit
        [message] = family.chat(text, conditions)
        if frame + len(message["content"].encode()) + len(begun) <= longest:
            continue
        if (length := len(family.prompt_ids(text, prefix, conditions))) > longest:
            raise BadInput(
                f"the prompt of text {shorten(text)} has {length} tokens, {len(begun)} of them "
                f"speech, and rollout.max_prompt_tokens = {longest}; raise it, or prepare shorter "
                "ones (data.max_chars, data.prefix.max_s, a shorter reference)"
            )


def _begun(run: RunConfig, info: Mapping[str, Any], family: Family) -> list[int]:
    """The speech tokens with which a prompt ends. Raises BadInput for one of another codebook, or
    out of its place in a frame."""
    reference = family.continued(conditions_in(run, info))
    begun = [*(reference.tokens if reference else ()), *info["speech_prefix"]]
    said = reference.text if reference else info["text"]
    check_codes(said, begun, len(family.speech_token_ids), len(family.allowed_in_frame))
    return begun
