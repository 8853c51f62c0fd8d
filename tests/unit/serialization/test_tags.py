from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import json
import pathlib
import re
import subprocess
import sys
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import example, given
from kombu.utils import json as kombu_json

from litequeue.exceptions import NotSerializable
from litequeue.serialization import MAX_DEPTH, Codec
from tests.unit.serialization import shapes
from tests.unit.serialization.shapes import AWARE, ID, VALUES, all_types, same

CODEC = Codec(types=all_types())


@given(VALUES)
@example({"__type__": "datetime", "__value__": "x"})
@example({"__type__": {"__type__": 1, "__value__": 2}, "__value__": []})
@example(dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")))
@example(AWARE.replace(tzinfo=None, fold=1))
def test_what_is_accepted_comes_back_the_same(value: Any) -> None:
    text = CODEC.dumps(value)
    json.loads(text, parse_constant=pytest.fail)
    text.encode()
    assert same(CODEC.loads(text), value), text


@given(VALUES, VALUES)
def test_arguments_come_back_the_same(one: Any, other: Any) -> None:
    body = CODEC.dumps_arguments((one,), {"k": other}, limit=1 << 30)
    args, kwargs = CODEC.loads_arguments(body)
    assert same(args, [one])
    assert same(kwargs, {"k": other})


def test_plain_arguments_stay_plain_json() -> None:
    assert CODEC.dumps_arguments((1, "ü", None), {"a": [True]}, limit=99) == (
        '[[1,"ü",null],{"a":[true]}]'
    )


def test_arguments_may_be_any_sequence_and_mapping_and_are_not_changed() -> None:
    args, kwargs = [(1,), b"x"], collections.ChainMap({"k": (2,)})
    body = CODEC.dumps_arguments(args, kwargs, limit=999)
    assert CODEC.loads_arguments(body) == ([(1,), b"x"], {"k": (2,)})
    assert (args, dict(kwargs)) == ([(1,), b"x"], {"k": (2,)})


KOMBU = [
    AWARE,
    AWARE.replace(tzinfo=None),
    dt.date(2026, 11, 21),
    dt.time(1, 2, 3, 4),
    decimal.Decimal("1.50"),
    ID,
    b"text",
    b"\xff\x00",
]


@pytest.mark.parametrize("value", KOMBU, ids=repr)
def test_tags_of_kombus_are_in_its_form(value: Any) -> None:
    assert json.loads(CODEC.dumps([value])) == json.loads(kombu_json.dumps([value]))
    assert same(CODEC.loads(kombu_json.dumps(value)), value)


def test_a_set_is_the_same_text_in_every_process() -> None:
    code = (
        "from litequeue.serialization import Codec;"
        "print(Codec().dumps({chr(97 + n) * 3 for n in range(20)}))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


class Pair(NamedTuple):
    x: int


class Shouted(str):
    __slots__ = ()


class Unknown(enum.Enum):
    A = 1


class Foreign(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta | None:
        return None if when is None else dt.timedelta(hours=when.month)


REFUSED = {
    "nan": (float("nan"), "nan, which JSON"),
    "infinity": (float("-inf"), "-inf, which JSON"),
    "surrogate": ("\ud800", "half a surrogate"),
    "surrogate in a key": ({"\ud800": 1}, "half a surrogate"),
    "large": (1 << 64, "64 bits"),
    "small": (-(1 << 63) - 1, "64 bits"),
    "key": ({1: 1}, "the key 1; keys are text"),
    "key of a subclass": ({Shouted("x"): 1}, "keys are text"),
    "str subclass": (Shouted("x"), "come back as a str"),
    "ordered": (collections.OrderedDict(a=1), "come back as a dict"),
    "default": (collections.defaultdict(int), "come back as a dict"),
    "namedtuple": (Pair(1), "come back as a tuple"),
    "unknown enum": (Unknown.A, r"register it: Types.add\(Unknown\)"),
    "undecorated subclass": (shapes.Circle(1.0), "Circle"),
    "initvar": (shapes.Secretive(1), "does not know"),
    "function": (len, "cannot be stored"),
    "file": (sys.stdout, "cannot be stored"),
    "object": (object(), "cannot be stored"),
    "class": (int, "cannot be stored"),
    "complex": (1j, "cannot be stored"),
    "bytearray": (bytearray(b"x"), "cannot be stored"),
    "zone": (AWARE.replace(tzinfo=Foreign()), "tzinfo of type Foreign"),
    "path": (pathlib.Path("\udcff"), "half a surrogate"),
    "secret": (pydantic.SecretStr("x"), "cannot be stored"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_not_survive_is_refused_with_its_place(what: str) -> None:
    value, words = REFUSED[what]
    for wrapped, path in [
        ([{"when": value}], "$[0].when"),
        ({"a": (0, [value])}, "$.a[1][0]"),
        ([0, shapes.Line(value)], "$[1].start"),
    ]:
        with pytest.raises(NotSerializable, match=words) as caught:
            CODEC.dumps(wrapped)
        assert str(caught.value).startswith(f"{path} "), caught.value
    with pytest.raises(NotSerializable, match=r"^\$\[1\]\.k "):
        CODEC.dumps_arguments((1,), {"k": value}, limit=999)


def test_numbers_are_bounded_in_long_lists_too() -> None:
    assert CODEC.loads(CODEC.dumps([*range(20), (1 << 64) - 1]))[-1] == (1 << 64) - 1
    for extreme in (1 << 64, -(1 << 63) - 1):
        with pytest.raises(NotSerializable, match=r"^\$\[20\] "):
            CODEC.dumps([*range(20), extreme])


def test_an_initvar_cannot_be_given_again() -> None:
    types = all_types()
    types.add(shapes.Secretive)
    with pytest.raises(NotSerializable, match="InitVar"):
        Codec(types=types).dumps(shapes.Secretive(1))


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_depth_is_bounded_and_circles_with_it() -> None:
    assert CODEC.loads(CODEC.dumps(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    circle: list[Any] = []
    circle.append({"again": (circle,)})
    for value in (nested(MAX_DEPTH + 1), circle):
        with pytest.raises(NotSerializable, match="deeper than 100"):
            CODEC.dumps(value)


def test_pydantic_keeps_what_was_set_and_what_is_extra() -> None:
    given = shapes.Order(items=[], more=1)
    back = CODEC.loads(CODEC.dumps(given))
    assert back.model_dump(exclude_unset=True) == {"items": [], "more": 1}


HOSTILE = [
    '{"__type__":"os.system","__value__":"true"}',
    '{"__type__":"nothing","__value__":1}',
    '{"__type__":["set"],"__value__":1}',
    '{"__type__":"set","__value__":[[]]}',
    '{"__type__":"set","__value__":"ab"}',
    '{"__type__":"dict","__value__":[[[],1]]}',
    '{"__type__":"uuid","__value__":{}}',
    '{"__type__":"decimal","__value__":"1e9999999999999999999"}',
    '{"__type__":"decimal","__value__":1.5}',
    '{"__type__":"base64","__value__":"###"}',
    '{"__type__":"bytes","__value__":1}',
    '{"__type__":"timedelta","__value__":[1e300,0,0]}',
    '{"__type__":"datetime-exact","__value__":["2026-01-01",0,"../../etc/passwd"]}',
    '{"__type__":"datetime-exact","__value__":["2026-01-01",0,"Nowhere/Land"]}',
    '{"__type__":"path","__value__":null}',
    '{"__type__":"tests.unit.serialization.shapes.Colour","__value__":"BLUE"}',
    '{"__type__":"tests.unit.serialization.shapes.Colour","__value__":"__class__"}',
    '{"__type__":"tests.unit.serialization.shapes.Permission","__value__":99}',
    '{"__type__":"tests.unit.serialization.shapes.Point","__value__":{"z":1}}',
    '{"__type__":"tests.unit.serialization.shapes.Point","__value__":{}}',
    '{"__type__":"tests.unit.serialization.shapes.Point","__value__":[]}',
    '{"__type__":"tests.unit.serialization.shapes.Customer","__value__":{"name":1}}',
    '{"__type__":"tests.unit.serialization.shapes.Order","__value__":{"items":7}}',
    '{"__type__":"tests.unit.serialization.shapes.Order","__value__":[{"items":[]},[[]]]}',
    "NaN",
    "-Infinity",
    "[" * 200_000,
    '{"__type__":' * 50_000,
    "1" * 5_000,
    "",
    "[1",
    "1 2",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=re.compile(".+")):
        CODEC.loads(text)


def test_json_of_other_programs_may_have_space_around_it() -> None:
    assert CODEC.loads_arguments(" [ [ 1 ] , { } ] \n") == ([1], {})


def test_loading_the_package_loads_no_serializer() -> None:
    heavy = ["bz2", "lzma", "msgpack", "pickle", "uuid", "decimal", "yaml", "zoneinfo"]
    code = f"import sys, litequeue.serialization; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
