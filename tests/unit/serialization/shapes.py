"""Classes and values that the tests of serialization share."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import uuid
from dataclasses import InitVar, dataclass, field, fields, is_dataclass
from typing import Any
from zoneinfo import ZoneInfo

import attrs
import pydantic
from hypothesis import strategies as st

from litequeue.serialization import Types


class Colour(enum.Enum):
    RED = object()
    GREEN = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    YES = "yes"


class Permission(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Mode(enum.IntFlag):
    A = 1
    B = 2


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 0.0


@dataclass
class Line:
    start: Point
    end: Point | None = None
    length: float = field(init=False, default=0.0)


@dataclass
class Secretive:
    x: InitVar[int]


@attrs.define
class Customer:
    name: str = attrs.field(validator=attrs.validators.instance_of(str))
    _age: int = 0


class Item(pydantic.BaseModel):
    name: str = pydantic.Field(alias="itemName")
    price: decimal.Decimal = decimal.Decimal(0)
    when: dt.datetime | None = None


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    items: list[Item]
    colour: Colour = Colour.GREEN


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Circle(Point):
    """A subclass that was not decorated: its own state is in no field."""


CLASSES = (Colour, Level, Word, Permission, Mode, Point, Line, Customer, Item, Order, Numbers)


def all_types() -> Types:
    types = Types()
    for cls in CLASSES:
        types.add(cls)
    return types


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal with all their types, zones, folds and digits."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, set | frozenset):
        return one == other and {*map(mark, one)} == {*map(mark, other)}
    if is_dataclass(one):
        return all(same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    if isinstance(one, pydantic.BaseModel):
        return same(vars(one), vars(other)) and one.model_fields_set == other.model_fields_set
    return mark(one) == mark(other)


def mark(value: Any) -> Any:
    if isinstance(value, decimal.Decimal):
        return type(value), value.as_tuple()
    if isinstance(value, float):
        return type(value), value.hex()
    if isinstance(value, dt.datetime | dt.time):
        zone = value.tzinfo
        return repr(value), value.fold, getattr(zone, "key", None), type(zone)
    if isinstance(value, tuple | frozenset):
        return type(value), type(value)(map(mark, value))
    return type(value), value


ZONES = st.none() | st.sampled_from(
    [
        dt.UTC,
        dt.timezone(dt.timedelta(hours=-3, seconds=7)),
        ZoneInfo("Europe/Berlin"),
        ZoneInfo("UTC"),
    ]
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
INTEGERS = st.integers(-(1 << 63), (1 << 64) - 1)
TEXTS = st.text() | st.sampled_from(["\x85", "a\u2028", "2026-11-21", "1e3", "<<", " =", "a: b\n"])
KEYS = TEXTS | st.sampled_from(["__type__", "__value__"])
FOLDED = st.booleans().flatmap(
    lambda fold: st.datetimes(timezones=ZONES, allow_imaginary=True).map(
        lambda value: value.replace(fold=int(fold))
    )
)
HASHABLE = (
    st.none()
    | st.booleans()
    | INTEGERS
    | FINITE
    | TEXTS
    | st.binary()
    | FOLDED
    | st.dates()
    | st.builds(
        lambda time, fold: time.replace(fold=fold), st.times(timezones=ZONES), st.integers(0, 1)
    )
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.sampled_from([decimal.Decimal("-0.00"), decimal.Decimal("1E+30")])
    | st.sampled_from([*Colour, *Level, *Word, *Permission, Permission(3), Permission(0), Mode(3)])
    | st.sampled_from(["a", "/tmp/x", "../ü"]).map(pathlib.Path)
    | st.sampled_from(["a/b", "."]).map(pathlib.PurePosixPath)
    | st.sampled_from(["a\\b", "c:\\x"]).map(pathlib.PureWindowsPath)
    | st.builds(Point, FINITE, FINITE)
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
        | st.frozensets(HASHABLE, max_size=3)
        | st.fixed_dictionaries({"__type__": inner, "__value__": inner})
        | st.builds(Line, st.builds(Point, FINITE), st.none())
        | st.builds(Customer, TEXTS, INTEGERS)
        | st.builds(lambda name: Order(items=[Item(itemName=name, when=AWARE)]), TEXTS)
        | st.builds(lambda name: Order(items=[], colour=Colour.RED, more=name), inner)
        | st.lists(INTEGERS, max_size=3).map(Numbers)
    ),
    max_leaves=12,
)
AWARE = dt.datetime(2026, 11, 21, 12, 0, 0, 123456, tzinfo=dt.UTC)
ID = uuid.UUID("018f3a5e-7c1d-7000-8000-0123456789ab")
