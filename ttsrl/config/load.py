"""Where a RunConfig comes from: a JSON file, `--set` overrides, defaults; and how it is written."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import ValidationError

from ttsrl.config.explain import explain, unknown_key
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput, shorten
from ttsrl.facts import Location, StorageAddress, walk_raw

Parts = tuple[str, ...]

MISSING = object()


def load_run(path: str | Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Read a run's JSON file, apply `a.b=c` overrides (JSON, else a string), check the whole.

    A path that exists beside the file becomes absolute (one given as an override: also if it exists
    in the working directory), what exists nowhere stays: it may be a Hugging Face id. A storage
    folder is meant from the working directory. Raises BadInput.
    """
    path = Path(path)
    raw = _read(path)
    given = [_apply(raw, override) for override in overrides]
    _find_paths(raw, path.absolute().parent, given)
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        lines = explain(error, RunConfig, raw)
        raise BadInput("\n".join(f"{path}: {line}" for line in lines)) from None


def load_text(text: str, overrides: Sequence[str], where: str) -> RunConfig:
    """The run of a JSON text with overrides applied; a path that one of these gives is found in the
    working directory. Raises BadInput that names where the text comes from.
    """
    raw: dict[str, Any] = json.loads(text)
    _find_paths(raw, None, [_apply(raw, override) for override in overrides])
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        lines = explain(error, RunConfig, raw)
        raise BadInput("\n".join(f"{where}: {line}" for line in lines)) from None


def dump_run(run: RunConfig) -> str:
    """Canonical JSON of a run, every default written out; `load_run` reads it back equal."""
    dumped = run.model_dump(mode="json")
    return json.dumps(dumped, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def config_hash(run: RunConfig) -> str:
    """SHA-256 of the canonical JSON, in hexadecimal."""
    return hashlib.sha256(dump_run(run).encode()).hexdigest()


def origin(
    path: str | Path, overrides: Sequence[str], key: str
) -> Literal["default", "file", "--set"]:
    """Where the value of a key such as `train.steps` comes from. Raises BadInput."""
    wanted = _split(key)
    if _get(load_run(path, overrides).model_dump(mode="json"), wanted) is MISSING:
        raise BadInput(unknown_key(RunConfig, wanted))
    raw = _read(Path(path))
    if any(_overlap(wanted, _apply(raw, override)) for override in overrides):
        return "--set"
    return "default" if _get(_read(Path(path)), wanted) is MISSING else "file"


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads(path.read_bytes(), object_pairs_hook=_no_duplicates)
    except FileNotFoundError:
        raise BadInput(
            f"no such file: {path}; give its path, or start from the example that "
            "`ttsrl config --config examples/tiny/run.json` prints"
        ) from None
    except OSError as error:
        raise BadInput(f"cannot read {path}: {error.strerror}; give a run's JSON file") from None
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at {error.start}; "
            "save it as UTF-8"
        ) from None
    except json.JSONDecodeError as error:
        raise BadInput(
            f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}; correct it there"
        ) from None
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    if not isinstance(raw, dict):
        raise BadInput(f"{path} holds {shorten(raw)}; a run is a JSON object {{...}}")
    return cast("dict[str, Any]", raw)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice:
        raise BadInput(f"the key {min(twice)!r} stands twice in one object; keep one")
    return dict(pairs)


def _split(key: str) -> Parts:
    """`eval.judges[0].model` or `eval.judges.0.model` -> parts; verl's own keys keep their dots."""
    section, _, rest = key.partition(".")
    if section == "verl" and rest:
        return section, rest
    return tuple(re.sub(r"\[(\d+)\]", r".\1", key).split("."))


def _apply(raw: dict[str, Any], override: str) -> Parts:
    """Write an override into the raw configuration; returns its key."""
    name, equals, text = override.partition("=")
    if not equals or not name.strip():
        raise BadInput(f"--set {override}: no '='; write --set train.steps=100")
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = text
    key = _split(name.strip())
    try:
        _put(raw, key, value)
    except LookupError as error:
        raise BadInput(f"--set {override}: {error.args[0]}") from None
    return key


def _put(container: Any, key: Parts, value: object) -> None:
    """Write `value` at `key`, making the objects on the way but no list."""
    part, rest = key[0], key[1:]
    inner = _get(container, [part])
    if inner is MISSING and not isinstance(container, dict):
        raise LookupError(f"there is no {part!r} in {shorten(container)}; check the key")
    if inner is MISSING and rest and rest[0].isdecimal():
        raise LookupError(f"{part} has its default value; set the whole list: {part}=[...]")
    if not rest:
        container[int(part) if isinstance(container, list) else part] = value
        return
    if inner is MISSING or inner is None:  # null where a section may be left out
        inner = container[part] = {}
    _put(inner, rest, value)


def _get(raw: Any, key: Iterable[str]) -> Any:
    """The value at `key`, or MISSING."""
    for part in key:
        try:
            raw = raw[int(part) if isinstance(raw, list) else part]
        except (KeyError, IndexError, TypeError, ValueError):
            return MISSING
    return raw


def _overlap(a: Parts, b: Parts) -> bool:
    """Whether one key is the other, or a section that holds it."""
    shared = min(len(a), len(b))
    return a[:shared] == b[:shared]


def _find_paths(raw: dict[str, Any], folder: Path | None, given: Sequence[Parts]) -> None:
    """Make absolute what exists beside the file, if there is one, or, for an override, in the
    working directory."""
    raw.setdefault("storage", RunConfig.model_fields["storage"].default)
    for setting in list(walk_raw(RunConfig, raw)):
        location, value = setting.fact(Location), setting.value
        if location is None or not isinstance(value, str) or not value or "://" in value:
            continue
        key = tuple(map(str, setting.key))
        path = Path(value).expanduser()
        if isinstance(location, StorageAddress):
            _put(raw, key, _absolute(path))
            continue
        bases = [] if folder is None else [folder]
        if any(_overlap(key, other) for other in given):
            bases.insert(0, Path.cwd())
        found = (base / path for base in bases)
        _put(raw, key, next((_absolute(p) for p in found if p.exists()), value))


def _absolute(path: Path) -> str:
    """Its links are kept: a Secret or ConfigMap in a pod is a link, to another folder in each pod
    and after each renewal.
    """
    return os.path.normpath(path.absolute())
