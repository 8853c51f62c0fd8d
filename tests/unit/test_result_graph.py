"""The graph of results, as Celery's, and how it is written."""

from __future__ import annotations

import io
from typing import Any

import pytest

from litequeue.result.graph import DependencyGraph, GraphFormatter


def graph(**edges: str) -> DependencyGraph:
    return DependencyGraph(edges.items())


def test_objects_and_edges() -> None:
    made = graph(a="bc", b="c", c="")
    made.add_arc("d")
    made.add_arc("a")
    made.add_edge("d", "a")
    assert dict(made.items()) == {"a": ["b", "c"], "b": ["c"], "c": [], "d": ["a"]}
    assert dict(made.iteritems()) == dict(made.items())
    assert (list(made), len(made), "d" in made, "e" in made) == (
        ["a", "b", "c", "d"],
        4,
        True,
        False,
    )
    assert (made["a"], list(made.edges())) == (["b", "c"], ["a", "b", "d"])
    with pytest.raises(KeyError):
        made.add_edge("nobody", "a")
    made.connect(graph(e=""))
    assert "e" in made
    assert made.format("a") == "a"


def test_an_object_may_be_named_before_it_is_there() -> None:
    assert dict(DependencyGraph([("a", ["b"])]).items()) == {"a": ["b"]}
    assert DependencyGraph([("a", ["b"])]).topsort() == ["b", "a"]


def test_what_is_needed_comes_first() -> None:
    made = graph(a="bc", b="d", c="d", d="", e="a")
    order = made.topsort()
    assert sorted(order) == list("abcde")
    assert all(
        order.index(other) < order.index(obj) for obj, others in made.items() for other in others
    )


def test_a_long_line_and_a_circle_have_an_order() -> None:
    line = DependencyGraph((number, [number + 1]) for number in range(5_000))
    assert line.topsort() == list(range(5_000, -1, -1))
    assert line.valency_of(0) == 5_000
    assert sorted(graph(a="b", b="a").topsort()) == ["a", "b"]


def test_the_valency_counts_the_edges_below() -> None:
    made = graph(a="bc", b="d", c="d", d="")
    assert [made.valency_of(obj) for obj in "abcd"] == [4, 1, 1, 0]
    assert made.valency_of("nobody") == 0


def test_it_is_shown_with_what_is_below() -> None:
    assert repr(graph(a="b", b="c", c="")) == (
        "a(2)\n     b(1)\n          c(0)\nb(1)\n     c(0)\nc(0)"
    )


def test_it_is_written_for_graphviz() -> None:
    file = io.StringIO()
    DependencyGraph([("a", ['"b']), ('"b', [])], GraphFormatter(root="a", shape="oval")).to_dot(
        file
    )
    lines = file.getvalue().splitlines()
    assert lines[0] == 'digraph "dependencies" {'
    assert lines[1] == '    graph [root="a"]'
    assert lines[2].startswith('    "a" [shape="oval", ')
    assert lines[3].startswith('    "\\"b" [')
    assert lines[4].startswith('    "a" -> "\\"b" [')
    assert lines[5:] == ["}"]


def test_parts_of_the_writing_can_be_changed() -> None:
    class Loud(GraphFormatter):
        def label(self, obj: Any) -> str:
            return str(obj).upper()

    file = io.StringIO()
    graph(a="b", b="").to_dot(file, Loud(type="graph", id="mine", indent=1))
    text = file.getvalue()
    assert '    graph "mine" {' in text
    assert '        "A" -- "B"' in text
