"""The one reader of JSON lines that users write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from ttsrl.errors import BadInput, shorten
from ttsrl.lines.text import lines_of, suffix_of, text_of


def json_objects(
    file: Path, example: str, otherwise: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(file:line, object) of every line that is not blank.

    For errors: `example` is a line as it should be, `otherwise` what else the file could be. Raises
    BadInput for a line that is not a JSON object, and as `lines_of` does. A file named .json may be
    one array of objects instead; their place is then `file: item N`.
    """
    if suffix_of(file) == ".json" and text_of(file).lstrip()[:1] == "[":
        yield from _items(file, example)
        return
    for place, line in lines_of(file):
        value = parse_json(line, place, f"write one {example} a line{otherwise}")
        if not isinstance(value, dict):
            raise BadInput(f"{place}: {shorten(value)} is not a JSON object; write {example}")
        yield place, cast("dict[str, Any]", value)


def _items(file: Path, example: str) -> Iterator[tuple[str, dict[str, Any]]]:
    array = parse_json(text_of(file), str(file), f"write one {example} a line")
    for number, value in enumerate(cast("list[object]", array)):
        place = f"{file}: item {number}"
        if not isinstance(value, dict):
            raise BadInput(f"{place}: {shorten(value)} is not a JSON object; write {example}")
        yield place, cast("dict[str, Any]", value)


def parse_json(text: str, place: str, way_out: str) -> object:
    """The value of a JSON text that a user wrote.

    Raises BadInput for what is not JSON, nests too deeply, has a number too long to be one, a key
    twice, or half of a surrogate pair, which no file can hold as UTF-8.
    """
    try:
        value: object = json.loads(text, object_pairs_hook=_no_key_twice)
    except json.JSONDecodeError as error:
        where = f"column {error.colno}"
        if "\n" in text.strip():
            where = f"line {error.lineno}, {where}"
        raise BadInput(
            f"{place}: not JSON at {where} ({error.msg}): {shorten(text)}; {way_out}"
        ) from None
    except RecursionError:
        raise BadInput(f"{place}: JSON that nests too deeply: {shorten(text)}; {way_out}") from None
    except BadInput as error:
        raise BadInput(f"{place}: {error}") from None
    except ValueError:  # of int(), which refuses thousands of digits
        raise BadInput(f"{place}: a number has too many digits: {shorten(text)}") from None
    if "\\u" in text and (half := _surrogate(value)) is not None:
        raise BadInput(
            f"{place}: text contains half of a surrogate pair, U+{half:04X}; remove it, or write "
            "the character itself"
        )
    return value


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    whole = dict(pairs)
    if len(whole) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"the key {twice!r} stands twice; keep one")
    return whole


def _surrogate(value: object) -> int | None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return ord(error.object[error.start])
    return None
