from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue.exceptions import NotSerializable
from litequeue.serialization import MAX_DEPTH, Codec, dumps, loads

TEXTS = st.text()  # without surrogates, as hypothesis draws it
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_what_is_accepted_comes_back_equal(value: Any) -> None:
    assert loads(dumps(value)) == value


@given(JSON)
def test_what_is_stored_is_strict_json_that_sqlite_can_hold(value: Any) -> None:
    text = dumps(value)
    text.encode("utf-8")
    json.loads(text, parse_constant=pytest.fail)


def test_a_tuple_comes_back_as_a_list() -> None:
    assert loads(dumps((1, (2, 3)))) == [1, [2, 3]]


class Colour(enum.Enum):
    RED = 1


REFUSED = {
    "nan": float("nan"),
    "infinity": float("inf"),
    "minus infinity": float("-inf"),
    "set": {1},
    "bytes": b"x",
    "object": object(),
    "enum": Colour.RED,
    "complex": 1j,
    "number as key": {1: "x"},
    "none as key": {None: "x"},
    "tuple as key": {(1, 2): "x"},
    "lone surrogate": "\ud800",
    "number without end": 10**5000,
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_would_not_survive_is_refused_at_any_depth(what: str) -> None:
    value = REFUSED[what]
    for wrapped in (value, [value], (0, value), {"key": [0, {"deep": value}]}):
        with pytest.raises(NotSerializable):
            dumps(wrapped)


def test_a_lone_surrogate_is_refused_as_a_key_too() -> None:
    with pytest.raises(NotSerializable):
        dumps({"\udfff": 1})


def test_text_beyond_the_first_plane_is_no_surrogate() -> None:
    assert loads(dumps("𝄞 \U0010ffff")) == "𝄞 \U0010ffff"


@pytest.mark.parametrize(
    ("value", "path"),
    [({"a": [1, {2}]}, "$.a[1]"), ([[], {"x": b""}], "$[1].x"), ({"a": {1: 2}}, "$.a")],
)
def test_the_error_names_the_place(value: Any, path: str) -> None:
    with pytest.raises(NotSerializable, match=r"^" + path.replace("$", r"\$").replace("[", r"\[")):
        dumps(value)


def nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def test_depth_is_bounded() -> None:
    assert loads(dumps(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(NotSerializable, match="deeper"):
        dumps(nested(MAX_DEPTH + 1))


def test_a_circle_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotSerializable):
        dumps(circle)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "1",
        "null",
        "[]",
        "[[]]",
        "[[],{},1]",
        "[{},[]]",
        '["a",{}]',
        "[[],[]]",
        "[" * 99_999,
    ],
)
def test_a_body_of_another_shape_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Codec().loads_arguments(body)
