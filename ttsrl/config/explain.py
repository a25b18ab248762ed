"""A configuration that pydantic refuses, told in the words of the user's file: key, value, way out.

A key is a path in the file, such as `("eval", "judges", 0, "model")`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ttsrl.errors import did_you_mean, shorten
from ttsrl.facts import Key, show


def explain(error: ValidationError, config: type[BaseModel], raw: object) -> list[str]:
    """One line for each wrong key of `raw`, the parsed file, without a word about pydantic."""
    by_key: dict[str, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "default_factory_not_called":
            continue  # a default that follows from fields beside it, whose own lines say all
        by_key.setdefault(show(_file_key(detail, raw)), []).append(detail)
    return [_line(config, _file_key(details[0], raw), details) for details in by_key.values()]


def unknown_key(config: type[BaseModel], key: Key) -> str:
    """The line for a key that the configuration does not have."""
    name, siblings = str(key[-1]), _properties(config, key[:-1])
    elsewhere = [path for path in _all_keys(config) if path.rpartition(".")[2] == name]
    near = did_you_mean(name, siblings)
    if elsewhere == [name]:  # the user's word is right, and its place is not
        near += f"; {name!r} stands at the top of the file, beside {str(key[0])!r}"
    elif elsewhere and not difflib.get_close_matches(name, siblings, n=1):
        near = f"; did you mean {elsewhere[0]!r}?"
    return f"{show(key)}: no such key{near}"


def _line(config: type[BaseModel], key: Key, details: list[ErrorDetails]) -> str:
    first, name = details[0], show(key)
    context, value = first.get("ctx", {}), shorten(first["input"])
    match first["type"]:
        case "extra_forbidden":
            return unknown_key(config, key)
        case "missing":
            return f"{name} is missing{_described(config, key)}"
        case "value_error":
            message = first["msg"].removeprefix("Value error, ")
            return f"{name}: {message}" if name else message
        case "literal_error":
            known = re.findall(r"'([^']*)'", str(context.get("expected")))
            return f"{name} = {value} is unknown{did_you_mean(str(first['input']), known)}"
        case "union_tag_invalid":
            known = re.findall(r"'([^']*)'", str(context.get("expected_tags")))
            tag = str(context.get("tag"))
            return f"{name}.type = {shorten(tag)} is unknown{did_you_mean(tag, known)}"
        case "union_tag_not_found":
            return f"{name} = {value} lacks the key 'type'"
        case _:
            wants = dict.fromkeys(d["msg"].removeprefix("Input should be ") for d in details)
            wanted = " or ".join(wants)
            wanted = wanted if wanted.startswith(("String", "List")) else f"should be {wanted}"
            return f"{name} = {value}: {wanted}{_described(config, key)}"


def _file_key(detail: ErrorDetails, raw: object) -> list[str | int]:
    """pydantic's `loc` without the names of union members, which are not in the file."""
    key: list[str | int] = []
    here: Any = raw
    for at, part in enumerate(detail["loc"], 1):
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            if detail["type"] != "missing" or at < len(detail["loc"]):
                continue
        key.append(part)
    return key


def _described(config: type[BaseModel], key: Key) -> str:
    """The field's documentation, in brackets."""
    own = _properties(config, key[:-1]).get(str(key[-1]), {})
    text = " ".join(own.get("description", "").split()).rstrip(".")
    return f" ({text})" if text else ""


def _properties(config: type[BaseModel], key: Key) -> dict[str, Any]:
    """Name -> JSON schema of the fields of the section at `key`."""
    schema = _schema(config)
    here = schema
    for part in key:
        found: dict[str, Any] = {}
        for option in _options(schema, here):
            inner = option if isinstance(part, int) else option.get("properties", {})
            found = inner.get("items" if isinstance(part, int) else part, found)
        here = found
    return {k: v for o in _options(schema, here) for k, v in o.get("properties", {}).items()}


def _options(schema: dict[str, Any], node: dict[str, Any]) -> list[dict[str, Any]]:
    """The plain schemas that a node stands for, references and unions followed."""
    if "$ref" in node:
        return _options(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
    union = node.get("oneOf") or node.get("anyOf")
    return [o for member in union for o in _options(schema, member)] if union else [node]


def _all_keys(config: type[BaseModel], section: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key outside lists, as `train.steps`."""
    for name in _properties(config, section):
        yield show([*section, name])
        yield from _all_keys(config, (*section, name))


@cache
def _schema(config: type[BaseModel]) -> dict[str, Any]:
    return config.model_json_schema()
