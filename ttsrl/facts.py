"""Facts about a configuration's fields, written as metadata of the fields, and the walk to them.

    model: Annotated[str, ModelPath("scorer"), InReward("digest")]

A fact on a section or on a list of sections holds for every field in it that has none of its own
kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any, Final, Literal, TypeVar, cast, get_args, get_origin

from pydantic import BaseModel

Key = Sequence[str | int]
"""Path of a value, such as `("eval", "judges", 0, "model")`."""


class Fact:
    """Base of the facts."""


@dataclass(frozen=True)
class Location(Fact):
    """The value says where something lies; a relative path is looked for beside the run's file."""


@dataclass(frozen=True)
class ModelPath(Location):
    """A model or a voice: a path, or a Hugging Face id, or a name that its model knows."""

    role: Literal["policy", "codec", "voice", "scorer", "judge", "speaker"]
    """scorer: gives the reward. judge: hears the evaluation. speaker: measures similarity in it.
    voice: recordings."""


@dataclass(frozen=True)
class DataPath(Location):
    """Texts, or a list of them: a path, or a Hugging Face data set."""


@dataclass(frozen=True)
class SecretPath(Location):
    """A file with a secret: its content is never read into a digest or a report."""


@dataclass(frozen=True)
class StorageAddress(Location):
    """Where a run is published: a URL, or a folder, which is meant from the working directory."""


@dataclass(frozen=True)
class OnResume(Fact):
    """Whether a resumed run may have another value: one that decides none of its weights."""

    may_change: bool


@dataclass(frozen=True)
class InReward(Fact):
    """The field decides a reward, and so the reward specification and its hash."""

    by: Literal["value", "digest", "resolved", "not"]
    """value: as it is configured. digest: by the content of what it names. resolved: by what the
    service takes for it, which depends on its device. not: it decides none, though the section
    that holds it does."""


@dataclass(frozen=True)
class InEvaluation(Fact):
    """The value decides an evaluation's numbers: two with other values do not compare."""


@dataclass(frozen=True)
class OfDeployment(Fact):
    """The value says where or how a run is deployed: the Helm chart may set it, and the run stays
    the same run."""


T = TypeVar("T")
F = TypeVar("F", bound=Fact)

Fixed = Annotated[T, OnResume(may_change=False)]
"""A field that stays as it is for the whole run."""
Adjustable = Annotated[T, OnResume(may_change=True)]
"""A field that a resumed run may set anew."""

EACH: Final = "*"
"""In the key of a declared field: any item of a list."""
DECLARED: Final = object()
"""Value of a field of a class, which has none."""
_MISSING: Final = object()


@dataclass(frozen=True)
class Setting:
    """A field that holds no further fields, its value, and what is known about it."""

    key: Key
    value: Any
    annotation: Any
    """Its declared type."""
    facts: tuple[Fact, ...]
    """Its own, then those of the sections that hold it, from the nearest outwards."""

    @property
    def name(self) -> str:
        """Its key, as `eval.judges[0].model`."""
        return show(self.key)

    def fact(self, kind: type[F]) -> F | None:
        """The nearest fact of a kind."""
        return next((fact for fact in self.facts if isinstance(fact, kind)), None)


def show(key: Key) -> str:
    """`eval.judges[0].model` of a key."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key).lstrip(".")


def walk(config: BaseModel) -> Iterator[Setting]:
    """Every setting of a configuration."""
    return _walk(type(config), config, (), ())


def walk_raw(config: type[BaseModel], raw: object) -> Iterator[Setting]:
    """The settings that stand in parsed JSON, which need not be valid."""
    return _walk(config, raw, (), ())


def walk_class(config: type[BaseModel]) -> Iterator[Setting]:
    """Every setting that a configuration may have; each alternative of a list or a union."""
    return _walk(config, DECLARED, (), ())


def models_in(config: BaseModel, *roles: str) -> dict[str, str]:
    """Key -> model, of every model that a configuration names, or of those in some roles."""
    found = ((setting, setting.fact(ModelPath)) for setting in walk(config))
    return {
        setting.name: setting.value
        for setting, model in found
        if model is not None and setting.value is not None and (not roles or model.role in roles)
    }


def dump_where(
    config: BaseModel,
    wanted: Callable[[Setting], bool],
    value_of: Callable[[Setting], Any] = lambda setting: setting.value,
) -> dict[str, Any]:
    """The wanted settings of a configuration, as nested JSON; sections without one are left out."""
    whole: dict[str | int, Any] = {}
    for setting in filter(wanted, walk(config)):
        here = whole
        for part in setting.key[:-1]:
            here = here.setdefault(part, {})
        here[setting.key[-1]] = value_of(setting)
    return _with_lists(whole)


def _with_lists(node: Any) -> Any:
    """Objects whose keys are numbers become the lists that they stand for."""
    if not isinstance(node, dict):
        return node
    items = {k: _with_lists(v) for k, v in cast("dict[str | int, Any]", node).items()}
    return list(items.values()) if any(isinstance(k, int) for k in items) else items


def _walk(annotation: Any, value: object, key: Key, facts: tuple[Fact, ...]) -> Iterator[Setting]:
    parts = list(_parts(annotation, value))
    if not parts:
        yield Setting(key, value, annotation, facts)
    for place, section, inner in parts:
        for name, field in section.model_fields.items():
            found = _field(inner, name)
            if found is not _MISSING:
                own = tuple(fact for fact in field.metadata if isinstance(fact, Fact))
                inner_key = (*key, *place, name)
                yield from _walk(field.annotation, found, inner_key, (*own, *facts))


def _parts(annotation: Any, value: object) -> Iterator[tuple[Key, type[BaseModel], object]]:
    """The sections that a value consists of: their places in it, classes and values."""
    declared = list(_sections(annotation))
    if value is DECLARED:
        yield from ((place, section, DECLARED) for place, section in declared)
    elif isinstance(value, list):
        for n, item in enumerate(cast("list[object]", value)):
            yield from (((n,), section, item) for section in _class_of(item, declared))
    else:
        yield from (((), section, value) for section in _class_of(value, declared))


def _sections(annotation: Any, place: Key = ()) -> Iterator[tuple[Key, type[BaseModel]]]:
    """The sections that a field of this type may hold, in a list or not."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield place, annotation
    inner_place = (EACH,) if get_origin(annotation) is list else place
    for inner in get_args(annotation):
        yield from _sections(inner, inner_place)


def _class_of(
    value: object, declared: Sequence[tuple[Key, type[BaseModel]]]
) -> Iterator[type[BaseModel]]:
    """The class of one section; of JSON the one that its `type` names."""
    if isinstance(value, BaseModel):
        yield type(value)
    elif isinstance(value, Mapping):
        tag = cast("Mapping[str, object]", value).get("type")
        fitting = (s for _, s in declared if len(declared) == 1 or tag in _tags(s))
        yield from islice(fitting, 1)


def _tags(section: type[BaseModel]) -> tuple[Any, ...]:
    field = section.model_fields.get("type")
    return get_args(field.annotation) if field else ()


def _field(section: object, name: str) -> object:
    if isinstance(section, Mapping):
        return cast("Mapping[str, object]", section).get(name, _MISSING)
    return DECLARED if section is DECLARED else getattr(section, name)
