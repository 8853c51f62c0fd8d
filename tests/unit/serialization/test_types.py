from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest

from litequeue.exceptions import ImproperlyConfigured, NotSerializable
from litequeue.serialization import Codec, Types
from tests.unit.serialization.shapes import (
    Circle,
    Colour,
    Customer,
    Item,
    Level,
    Line,
    Order,
    Point,
    Word,
)

if TYPE_CHECKING:
    from nowhere import Missing  # type: ignore[import-not-found] # what this test is about


@dataclass
class Tree:
    left: Tree | None = None
    mark: Literal[Word.YES] | None = None


def learned(function: Any) -> Types:
    types = Types()
    types.learn(function)
    return types


def parameters(a: list[Line] | None, b: Annotated[dict[str, Customer], 1]) -> None: ...
def returned() -> tuple[Order, ...]: ...  # type: ignore[empty-body] # only its annotation counts
def partly(a: Missing, b: Point) -> Missing: ...


@pytest.mark.parametrize(
    ("function", "classes"),
    [
        (parameters, {Line, Point, Customer}),
        (returned, {Order, Item, Colour}),
        (partly, {Point}),
        (Tree.__init__, {Tree, Word}),
    ],
)
def test_annotations_are_learned_with_the_classes_of_fields(
    function: Any, classes: set[type]
) -> None:
    types = learned(function)
    for cls in classes:
        name = types.name_of(cls)
        assert name == f"{cls.__module__}.{cls.__qualname__}"
        assert types.find(name) is cls
    assert types.name_of(Level) is None
    assert types.find("tests.unit.serialization.shapes.Level") is None


def test_add_decorates_and_takes_classes_that_are_data_only() -> None:
    types = Types()
    assert types.add(Point) is Point
    assert types.add(Point) is Point
    for other in (int, dict, object, 3, Circle):
        with pytest.raises(ImproperlyConfigured, match="neither a dataclass"):
            types.add(other)  # type: ignore[type-var] # the point of the test


def two() -> tuple[type, type]:
    def make() -> type:
        @dataclass
        class Same:
            x: int = 0

        return Same

    return make(), make()


def test_two_classes_of_one_name_are_an_error() -> None:
    one, other = two()
    types = Types()
    types.add(one)
    with pytest.raises(ImproperlyConfigured, match="two classes are called"):
        types.add(other)


def test_two_learned_classes_of_one_name_are_an_error_when_they_are_used() -> None:
    one, other = two()

    def function(a: Any, b: Any) -> None: ...

    function.__annotations__ = {"a": one, "b": other}
    codec = Codec(types=learned(function))
    with pytest.raises(NotSerializable, match="two classes are called"):
        codec.dumps(one())
    name = f"{one.__module__}.{one.__qualname__}"
    with pytest.raises(ValueError, match="two classes are called"):
        codec.loads(f'{{"__type__":"{name}","__value__":{{}}}}')


def test_a_name_of_ones_own_serves_both_ways() -> None:
    types = Types(lambda cls: f"app.{cls.__name__}")
    types.add(Point)
    codec = Codec(types=types)
    assert codec.dumps(Point(1.0)) == '{"__type__":"app.Point","__value__":{"x":1.0,"y":0.0}}'
    assert codec.loads(codec.dumps(Point(1.0))) == Point(1.0)


def wants(
    a: Point, b: Order | None = None, *rest: Customer, c: Line | str = "", **others: Point
) -> None: ...


def indifferent(a: int, b: dict[str, Any] | Point, c: Colour, d: list[Point], e: Any) -> None: ...


def test_dicts_become_what_the_annotation_says() -> None:
    args, kwargs = Types().fit(
        wants,
        [{"x": 1}, {"items": [{"itemName": "n"}]}, {"name": "Ann"}],
        {"c": {"start": {"x": 1}}, "z": {"x": 2}},
    )
    assert args == [Point(1), Order(items=[Item(itemName="n")]), Customer("Ann")]
    assert kwargs == {"c": Line(Point(1)), "z": Point(2)}


def test_values_of_the_right_type_are_left_alone() -> None:
    point = Point(1.0)
    args, kwargs = Types().fit(wants, [point, None], {"c": "text"})
    assert args[0] is point
    assert (args[1], kwargs) == (None, {"c": "text"})


def test_functions_without_such_annotations_get_their_own_objects_back() -> None:
    args, kwargs = [1, {"x": 1}, "RED", [{"x": 1}], {"x": 1}], {"q": {}}
    for _ in range(2):
        got = Types().fit(indifferent, args, kwargs)
        assert got[0] is args
        assert got[1] is kwargs


@pytest.mark.parametrize(
    ("args", "kwargs", "parameter"),
    [
        ([{"z": 1}], {}, "a"),
        ([{"x": 1}, {"items": 3}], {}, "b"),
        ([{"x": 1}, None, {"name": 3}], {}, "rest"),
        ([], {"a": {}}, "a"),
        ([], {"c": {"start": {"no": 1}}}, "c"),
    ],
)
def test_an_unfit_dict_is_a_value_error_that_names_the_parameter(
    args: list[Any], kwargs: dict[str, Any], parameter: str
) -> None:
    with pytest.raises(ValueError, match=f"^the parameter '{parameter}' is no "):
        Types().fit(wants, args, kwargs)
