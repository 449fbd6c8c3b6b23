"""The base of all configuration models, and what each field is to the program and to the identity.

The mark is written once, around the field's type: `lr: Traced[float]`, `hidden_size: Program[int]`. Every
list of fields (what a program is given, what runs of one program may differ in, what names a program, what
an identity is made of) is derived from the marks.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Frozen(BaseModel):
    """An immutable model that refuses unknown keys and keeps each field's docstring."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        validate_default=True,
        allow_inf_nan=False,
    )


T = TypeVar("T")


class Mark(Enum):
    """What a field is. Each has one of the first three; a group's marks hold for all fields in it."""

    TRACED = "traced"
    """A number that is given to the compiled training call: another value is the same program."""
    PROGRAM = "program"
    """Read while the training call is traced: another value is another program."""
    HOST = "host"
    """Read outside the training call: which data, how many steps, when to evaluate and save."""
    STEPS = "steps"
    """Its meaning is a number of steps. The identity has those (`Schedule`) in its place."""
    OPERATIONAL = "operational"
    """How or under which name a run is executed: no part of its identity."""


Traced = Annotated[T, Mark.TRACED]
Program = Annotated[T, Mark.PROGRAM]
Host = Annotated[T, Mark.HOST]
Steps = Annotated[T, Mark.STEPS]
Operational = Annotated[T, Mark.OPERATIONAL]


@dataclass(frozen=True)
class SchemaField:
    """One value of the schema, by its dotted name."""

    name: str
    info: FieldInfo
    marks: frozenset[Mark]
    """Its own, and those of the groups it is in."""

    @property
    def leaf(self) -> str:
        """The name without its groups."""
        return self.name.rpartition(".")[2]


def schema_fields(model: type[BaseModel]) -> dict[str, SchemaField]:
    """Every value of the schema, dotted (`lr`, `arch.L_cycles`), in the schema's order.

    Fields of all tasks are in it. Raises TypeError for a field that is not marked traced, program or host, or
    more than one of them, and for one that two tasks mark differently.
    """
    found: dict[str, SchemaField] = {}
    for field in _walk(model, "", frozenset()):
        if (first := found.setdefault(field.name, field)).marks != field.marks:
            marks = [sorted(mark.value for mark in each.marks) for each in (first, field)]
            raise TypeError(f"{field.name} is marked {marks[0]} in one class and {marks[1]} in another")
    return found


def _walk(model: type[BaseModel], prefix: str, above: frozenset[Mark]) -> Iterator[SchemaField]:
    for name, info in model.model_fields.items():
        marks = above | {each for each in info.metadata if isinstance(each, Mark)}
        if groups := groups_of(info.annotation):
            for group in groups:
                yield from _walk(group, f"{prefix}{name}.", marks)
        else:
            if len(marks & {Mark.TRACED, Mark.PROGRAM, Mark.HOST}) != 1:
                raise TypeError(
                    f"{model.__name__}.{name}: write Traced[...], Program[...] or Host[...] around its type "
                    "(trm_scaling.config.fields says which)"
                )
            yield SchemaField(prefix + name, info, marks)


def groups_of(annotation: Any) -> tuple[type[BaseModel], ...]:
    """The models that a field of this type may hold: one for a group, several for a union of groups.

    A model with a method `kinds` is a union of the classes that it names.
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        kinds: tuple[type[BaseModel], ...] = getattr(annotation, "kinds", lambda: (annotation,))()
        return kinds
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return tuple(group for each in get_args(annotation) for group in groups_of(each))
    return ()


def marked(model: type[BaseModel], mark: Mark) -> frozenset[str]:
    """The dotted names of the fields that bear `mark`."""
    return frozenset(name for name, field in schema_fields(model).items() if mark in field.marks)


def value_of(config: BaseModel, field: str) -> Any:
    """The value of a dotted field."""
    value: Any = config
    for part in field.split("."):
        value = getattr(value, part)
    return value


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration by dotted names. An empty mapping has none."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flattened`."""
    tree: dict[str, Any] = {}
    for field, value in flat.items():
        *parents, leaf = field.split(".")
        place = tree
        for parent in parents:
            place = place.setdefault(parent, {})
        place[leaf] = value
    return tree
