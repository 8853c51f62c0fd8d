"""Groups whose results are here: of tasks that ran in this process, and of handles given."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import pytest

from litequeue.context import working_for
from litequeue.exceptions import JobNotFound
from litequeue.result import AsyncResult, EagerResult, GroupResult, ResultSet, result_from_tuple
from tests.unit.homes import Home


@pytest.fixture
def home() -> Home:
    return Home()


def eager(id: str, value: Any = None) -> EagerResult[Any]:
    failed = isinstance(value, Exception)
    return EagerResult(id, value, "FAILURE" if failed else "SUCCESS")


def test_values_keep_the_shape_of_the_groups(home: Home) -> None:
    inner = GroupResult[Any]("inner", [eager("b", 2), eager("c", 3)], app=home)
    outer = GroupResult[Any]("outer", [eager("a", 1), inner], app=home)
    assert outer.get() == outer.join() == outer.join_native() == [1, [2, 3]]
    assert asyncio.run(outer.aget()) == [1, [2, 3]]
    assert ResultSet([outer], app=home).get() == [[1, [2, 3]]]
    assert (outer.completed_count(), len(outer)) == (2, 2), "as Celery counts: members"
    assert (outer.ready(), outer.successful(), outer.failed()) == (True, True, False)
    assert [each.id for each in outer.as_completed()] == ["a", "b", "c"]
    assert [id for id, _ in outer.iter_native()] == ["a", "inner"]


def test_one_failure_is_the_groups(home: Home) -> None:
    inner = GroupResult[Any]("inner", [eager("b", KeyError("k")), eager("c", 3)], app=home)
    outer = GroupResult[Any]("outer", [eager("a", 1), inner], app=home)
    assert (outer.ready(), outer.successful(), outer.failed()) == (True, False, True)
    assert (outer.completed_count(), outer.progress().failed) == (1, 1)
    with pytest.raises(KeyError, match="k"):
        outer.get()
    with pytest.raises(KeyError, match="k"):
        outer.maybe_throw()
    assert repr(outer.get(propagate=False)) == "[1, [KeyError('k'), 3]]"


def test_handles_and_eager_results_mix(home: Home) -> None:
    home.put("a", "SUCCESS", 1)
    home.put("b", "SUCCESS", 2)
    inner = GroupResult[Any]("inner", [home.result("b"), eager("c", 3)], app=home)
    outer = GroupResult[Any]("outer", [home.result("a"), inner, eager("d", 4)], app=home)
    assert outer.get() == [1, [2, 3], 4]
    assert asyncio.run(outer.aget()) == [1, [2, 3], 4]


def test_all_that_came_of_an_eager_result_is_itself() -> None:
    result = eager("a", 5)
    assert [*result.iterdeps()] == [(None, result)]
    assert [*result.collect()] == [(result, 5)]
    assert result.get_leaf() == 5
    assert result.graph.topsort() == [result]
    result.parent = eager("p", 4)
    assert (result.root, result.as_list()) == ("p", ["a", "p"])
    assert result.as_tuple() == (("a", (("p", None), None)), None)
    assert (result.logs, result.children) == ({}, [])


def test_what_ran_here_is_in_no_picture() -> None:
    for draw in (eager("a").mermaid, eager("a").dot):
        with pytest.raises(JobNotFound, match="a ran here and now"):
            draw()


def test_a_group_knows_its_id_and_members(home: Home) -> None:
    one, two = home.result("a"), home.result("b")
    group = GroupResult[Any]("g", [one, two], one, app=home)
    assert (group.parent, group.children, group[1], len(group)) == (one, [one, two], two, 2)
    assert (str(group), repr(group)) == ("g", "<GroupResult: g [a, b]>")
    assert repr(GroupResult[Any]("h", app=home)) == "<GroupResult: h>"
    assert bool(GroupResult[Any]("empty", [], app=home))
    same = GroupResult[Any]("g", [one, two], app=home)
    assert (group == same, group == "g", hash(group) == hash(same)) == (True, True, True)
    assert group != GroupResult[Any]("g", [one], app=home)
    assert group != GroupResult[Any]("h", [one, two], app=home)
    assert group.as_tuple() == (
        ("g", (("a", None), None)),
        [(("a", None), None), (("b", None), None)],
    )


def test_a_pickled_group_has_its_members(home: Home) -> None:
    group = GroupResult[Any]("g", [home.result("a")], app=home)
    with working_for(home):
        twin = pickle.loads(pickle.dumps(group))
        assert twin == group
        assert twin.app is home
        unread = pickle.loads(pickle.dumps(GroupResult[Any]("g", app=home)))
        assert repr(unread) == "<GroupResult: g>"


def test_tuples_become_handles(home: Home) -> None:
    tree = [["g", [["p", None], None]], [[["a", None], None], [["h", None], [[["b", None], None]]]]]
    group = result_from_tuple(tree, home)
    assert isinstance(group, GroupResult)
    assert (group.parent, group[0], group[1].id, group[1][0]) == ("p", "a", "h", "b")
    plain = result_from_tuple("a", home)
    assert isinstance(plain, AsyncResult)
    assert plain == "a"
