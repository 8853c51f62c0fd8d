"""What people write who meant a call, or its result: the error says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from litequeue import chain, group
from tests.unit.bench import Bench


@pytest.fixture
def add(bench: Bench) -> Any:
    return bench.app.task(name="add")(lambda x, y=0: x + y)


Make = Callable[[Any], Any]


@pytest.mark.parametrize(
    "make",
    [lambda add: add.s(1), lambda add: chain(add.s(1), add.s(2)), lambda add: group(add.s(1))],
    ids=["call", "chain", "group"],
)
@pytest.mark.parametrize("wait", [{}, {"timeout": 5}], ids=["at all", "for a time"])
def test_a_result_of_what_was_not_sent(add: Any, make: Make, wait: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"not sent.* write sig\.delay\(\)\.get\(\)"):
        make(add).get(**wait)


def test_an_item_is_looked_up_as_in_any_dict(add: Any) -> None:
    sig = add.s(1)
    assert (sig.get("task"), sig.get("other"), sig.get("other", 5)) == ("add", None, 5)


@pytest.mark.parametrize("join", [lambda a, b: a | b, lambda a, b: b | a], ids=["before", "after"])
def test_a_job_is_no_call(add: Any, join: Callable[[Any, Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"write task\.s\(…\), not task\.delay\(…\), which"):
        join(add.delay(1), add.s(2))


@pytest.mark.parametrize("args", [5, "text", b"bytes", {"x": 1}])
@pytest.mark.parametrize("many", [False, True], ids=["call", "group"])
def test_arguments_are_a_sequence(bench: Bench, add: Any, many: bool, args: Any) -> None:
    sig = group(add.s()) if many else add.s()
    with pytest.raises(TypeError, match="task args must be a list or tuple, not "):
        sig.apply_async(args)
    assert bench.outbox.jobs == []


def test_named_arguments_are_a_mapping(bench: Bench, add: Any) -> None:
    with pytest.raises(TypeError, match="task keyword arguments must be a mapping, not list"):
        add.s(1).apply_async((), [2])
    assert bench.outbox.jobs == []


def test_a_generator_of_arguments_is_taken_as_by_celery(bench: Bench, add: Any) -> None:
    add.s().apply_async(number for number in (1, 2))
    assert bench.outbox.job.body == "[[1,2],{}]"
