"""Texts to speak, each checked: a broken one is refused, an unwanted one left out and counted."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ttsrl.config.data import DataConfig
from ttsrl.data.fields import Keys, seconds
from ttsrl.data.not_texts import check_texts
from ttsrl.data.sources import read_rows
from ttsrl.errors import BadInput, shorten
from ttsrl.text.languages import check_language, language_of

OPTIONAL = ("language", "id", "style", "speaker", "label")
PROMPT = ("prompt_text", "prompt_audio", "prompt_tokens")


@dataclass(frozen=True)
class Text:
    """One text of the data."""

    text: str
    language: str
    id: str | None
    style: str | None
    speaker: str | None
    label: str | None = None
    speech_tokens: list[int] = field(default_factory=list[int])
    """Of its recording, where the data has them and prefixes are wanted."""
    prompt_text: str | None = None
    """What is said in the recording in whose voice it is to be spoken."""
    prompt_audio: Path | None = None
    """That recording ..."""
    prompt_tokens: list[int] | None = None
    """... or its speech tokens; with both, these are not made again."""


@dataclass(frozen=True)
class Texts:
    """The texts that are wanted, in their order."""

    texts: list[Text]
    left_out: dict[str, int]
    """Why others were not taken -> how many."""
    notes: list[str]
    """What could not be checked."""


class Unwanted(Exception):
    """A text that is to be left out: why, in words that such texts share, and the number of it."""

    def __init__(self, reason: str, amount: float | None = None) -> None:
        super().__init__(reason if amount is None else f"{reason}: {amount:.4g}")
        self.reason = reason


def read_texts(data: DataConfig, accept: Callable[[Text], object]) -> Texts:
    """Read the data; keys other than `text` and what DataConfig speaks of are left unread.

    `accept` raises BadInput for a text that the family cannot take, Unwanted for one to leave out.
    Raises BadInput naming file and line (data set folder and row) of the first text that cannot be
    used, for a repeated id, for a list of something else than texts, and for a limit of durations
    where no text has one.
    """
    for language in data.only_languages or ():
        check_language(language)
    texts: list[Text] = []
    left_out = Counter[str]()
    place_of_id: dict[str, str] = {}
    untimed = 0
    read: list[str] = []
    for place, row in read_rows(Path(data.texts), _keys(data), needed="text"):
        try:
            text, duration_s = _text_of(row, data)
            untimed += duration_s is None
            read.append(text.text)
            _check_wanted(text, duration_s, data)
            accept(text)
        except Unwanted as unwanted:
            if data.on_filtered == "error":
                raise BadInput(
                    f"{place}: text {shorten(row['text'])} {unwanted}; correct or remove it, or "
                    'leave such texts out with data.on_filtered = "exclude"'
                ) from None
            left_out[unwanted.reason] += 1
            continue
        except BadInput as error:
            raise BadInput(f"{place}: {error}") from None
        if text.id is not None and text.id in place_of_id:
            raise BadInput(
                f"{place}: the id {text.id!r} stands at {place_of_id[text.id]} already; "
                "give each text its own id, or none"
            )
        if text.id is not None:
            place_of_id[text.id] = place
        texts.append(text)
    limited = data.min_duration_s > 0 or data.max_duration_s is not None
    if limited and read and untimed == len(read):
        raise BadInput(
            f"{data.texts}: data.min_duration_s and data.max_duration_s limit recordings, and no "
            "text gives the duration of one (duration_s); leave the limits out, or add durations"
        )
    check_texts(data.texts, read)
    if not texts and not left_out:
        raise BadInput(f'{data.texts} holds no text; write one {{"text": "..."}} a line')
    notes = [f"not limited: {untimed} texts without a duration"] if limited and untimed else []
    return Texts(texts, dict(left_out), notes)


def _keys(data: DataConfig) -> Keys:
    fields = "text", "duration_s", *OPTIONAL, *PROMPT
    if data.prefix is None:
        return Keys(fields)
    return Keys((*fields, "speech_tokens"), {"speech_tokens": data.prefix.column})


def _check_wanted(text: Text, duration_s: float | None, data: DataConfig) -> None:
    """Raise Unwanted for a text that the data's limits do not take."""
    shortest_s, longest_s = data.min_duration_s, data.max_duration_s
    if len(text.text) < data.min_chars:
        raise Unwanted(f"has fewer than {data.min_chars} characters (data.min_chars)")
    if len(text.text) > data.max_chars:
        raise Unwanted(f"has more than {data.max_chars} characters (data.max_chars)")
    if data.only_languages is not None and text.language not in data.only_languages:
        raise Unwanted(f"is in language {text.language} (data.only_languages)")
    if data.exclude_regex is not None and re.search(data.exclude_regex, text.text):
        raise Unwanted("matches data.exclude_regex")
    if duration_s is not None and duration_s < shortest_s:
        raise Unwanted(f"lasts less than {shortest_s:g} s (data.min_duration_s)")
    if duration_s is not None and longest_s is not None and duration_s > longest_s:
        raise Unwanted(f"lasts more than {longest_s:g} s (data.max_duration_s)")


def _text_of(fields: Mapping[str, Any], data: DataConfig) -> tuple[Text, float | None]:
    """(text, seconds of its recording where the data gives them)"""
    optional = {key: _string_or_none(fields, key) for key in OPTIONAL}
    language = language_of(optional["language"]) if optional["language"] else data.language
    duration_s = seconds(fields, "duration_s")
    text = Text(
        _string(fields.get("text")),
        language,
        optional["id"],
        optional["style"],
        optional["speaker"],
        optional["label"],
        _speech_tokens(fields.get("speech_tokens"), data.prefix.column) if data.prefix else [],
        *_prompt(fields, Path(data.texts)),
    )
    return text, duration_s


def _prompt(
    fields: Mapping[str, Any], source: Path
) -> tuple[str | None, Path | None, list[int] | None]:
    """(what is said in its reference, the recording, its speech tokens)"""
    text, audio = _string_or_none(fields, "prompt_text"), _string_or_none(fields, "prompt_audio")
    given = fields.get("prompt_tokens")
    tokens = cast("list[object]", given)
    if given is not None and (
        not isinstance(given, list) or not tokens or any(type(t) is not int for t in tokens)
    ):
        raise BadInput(
            f"prompt_tokens = {shorten(tokens)} are not speech tokens; make them with "
            "`ttsrl encode`, or leave them out"
        )
    if text is None and (audio is not None or given is not None):
        raise BadInput(
            "a reference without its transcript: the policy needs to be told what is said in it; "
            "add prompt_text, or leave the reference out"
        )
    if text is not None and audio is None and given is None:
        raise BadInput(
            "prompt_text without the recording in which it is said; add prompt_audio or "
            "prompt_tokens, or leave it out"
        )
    folder = source if source.is_dir() else source.parent
    return text, folder / audio if audio else None, cast("list[int] | None", given)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise BadInput(f"text is {value!r}, no string; give each line a non-empty text")
    if not value.strip():
        raise BadInput(f"text {value!r} is empty; leave the line out")
    return value


def _string_or_none(fields: Mapping[str, Any], key: str) -> str | None:
    value = fields.get(key)
    if key in ("id", "label") and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or (isinstance(value, str) and value.strip()):
        return value
    raise BadInput(
        f"{key} = {shorten(value)} is not a text; give a non-empty string, or leave it out"
    )


def _speech_tokens(value: object, key: str) -> list[int]:
    tokens = cast("list[object]", value)
    if not isinstance(value, list) or any(type(token) is not int for token in tokens):
        raise BadInput(
            f"{key} = {shorten(tokens)} are not speech tokens, and data.prefix wants those of each "
            "text's recording; make them with `ttsrl encode`, or name their key: data.prefix.column"
        )
    return cast("list[int]", value)
