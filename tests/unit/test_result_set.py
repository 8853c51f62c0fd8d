from __future__ import annotations

import copy
import pickle
from typing import Any, cast

import pytest

from litequeue import exceptions
from litequeue.context import working_for
from litequeue.result import AsyncResult, EagerResult, ResultSet
from litequeue.result.waiting import Gathering, Patience, in_order
from litequeue.store import Record
from tests.unit.homes import Home, failure


@pytest.fixture
def home() -> Home:
    return Home()


def test_a_join_looks_at_ever_more_together(home: Home) -> None:
    ids = [str(number) for number in range(1_000)]
    for id in ids:
        home.put(id, "SUCCESS", int(id))
    looks: list[int] = []
    fetch = home.store.fetch_ended
    home.store.fetch_ended = lambda some: looks.append(len(some)) or fetch(some)
    assert ResultSet(map(home.result, ids)).join() == list(range(1_000))
    assert looks == [1, 2, 4, 8, 16, 32, 64, 128, 256, 489]
    assert home.store.slept == []


def test_a_join_waits_for_the_next_in_line(home: Home) -> None:
    ids = list("abcdef")
    for id in ids:
        home.put(id, "SUCCESS" if id in "abdf" else "STARTED")
    home.later("c", "SUCCESS")
    home.later("e", "SUCCESS")
    patience = Patience(home, None)
    assert [id for id, _ in in_order(home, ids, patience)] == ids
    assert len(home.store.slept) == 2


def test_a_join_begins_again_with_one_behind_those_it_waited_for(home: Home) -> None:
    ids = [str(number) for number in range(100)]
    for id in ids:
        home.put(id, "STARTED" if id in ("20", "21") else "SUCCESS", int(id))
    home.later("20", "SUCCESS", 20)
    home.later("21", "SUCCESS", 21)
    looks: list[int] = []
    fetch = home.store.fetch_ended
    home.store.fetch_ended = lambda some: looks.append(len(some)) or fetch(some)
    assert ResultSet(map(home.result, ids)).join() == list(range(100))
    assert looks == [1, 2, 4, 8, 16, 1, 1, 2, 4, 8, 16, 32, 15]


def test_the_time_of_a_join_is_for_all_together(home: Home) -> None:
    for id in "abc":
        home.put(id, "STARTED")
    home.store.later += [
        lambda: (home.clock.advance(4), home.put("a", "SUCCESS")),
        lambda: (home.clock.advance(4), home.put("b", "SUCCESS")),
    ]
    began = home.clock.monotonic()
    with pytest.raises(exceptions.TimeoutError, match="job c is still STARTED after 10 s"):
        ResultSet(map(home.result, "abc")).join(timeout=10)
    assert home.clock.monotonic() - began == 10


def test_a_join_raises_for_the_first_in_line(home: Home) -> None:
    home.put("a", "SUCCESS", 1)
    home.put("b", "FAILURE", failure=failure("ValueError", "no"))
    home.put("c", "STARTED")
    results = ResultSet(map(home.result, "abc"))
    with pytest.raises(ValueError, match="no"):
        results.join()
    assert home.store.slept == []
    home.put("c", "SUCCESS", 3)
    one, error, three = results.join(propagate=False)
    assert (one, repr(error), three) == (1, "ValueError('no')", 3)


def test_a_join_calls_back_instead_of_returning(home: Home) -> None:
    home.put("a", "SUCCESS", 1)
    home.put("b", "SUCCESS", 2)
    calls: list[tuple[str, Any]] = []
    messages: list[dict[str, Any]] = []
    results = ResultSet(map(home.result, "ab"))
    returned = results.get(
        callback=lambda id, value: calls.append((id, value)), on_message=messages.append
    )
    assert returned == []
    assert calls == [("a", 1), ("b", 2)]
    assert [each["task_id"] for each in messages] == ["a", "b"]


def test_an_ignored_member_is_not_awaited(home: Home) -> None:
    home.put("a", "STARTED")
    home.put("b", "SUCCESS", 2)
    results = ResultSet(map(home.result, "ab"))
    results[0].ignored = True
    assert results.join() == [None, 2]


def test_members_come_and_go(home: Home) -> None:
    a, b, c = map(home.result, "abc")
    results = ResultSet([a])
    results.add(b)
    results.add(a)
    results.update([b, c, c])
    assert results.results == [a, b, c] == list(results)
    assert (len(results), results[1], b in results, "c" in results) == (3, b, True, True)
    assert repr(results) == "<ResultSet: [a, b, c]>"
    results.remove("b")
    with pytest.raises(KeyError):
        results.remove(b)
    results.discard(b)
    results.discard(a)
    assert results == ResultSet([c])
    assert results != [c]
    results.results.append(a)  # it is anybody's to change
    results.add(a)
    results.add(b)
    assert results.results == [c, a, b]
    results.clear()
    results.add(a)
    assert results.results == [a]
    assert results.supports_native_join


def test_an_empty_set_has_ended_well() -> None:
    with working_for(Home()):
        empty = ResultSet[Any]([])
        assert (empty.successful(), empty.ready(), empty.failed(), empty.waiting()) == (
            True,
            True,
            False,
            False,
        )
        assert empty.join() == []
        assert list(empty.iter_native()) == []
        called: list[Any] = []
        empty.then(called.append)
        assert called == [empty]


def record(state: str = "SUCCESS") -> Record:
    return Record("done", state, None, 0, 0.0, None)


def test_gathering_tells_once_with_all_of_them() -> None:
    told: list[Any] = []
    gathering = Gathering("ab", lambda records, error: told.append((set(records), error)))
    gathering("a", record())
    assert told == []
    gathering("b", record())
    gathering("b", record())
    assert told == [({"a", "b"}, None)]


def test_gathering_gives_up_once_for_the_first_that_is_gone() -> None:
    told: list[Any] = []
    gathering = Gathering("ab", lambda records, error: told.append(error))
    gathering("a", None)
    gathering("b", OSError())
    gathering("a", record())
    assert [type(error) for error in told] == [exceptions.JobNotFound]


# Eager


def test_an_eager_result_knows_all_by_itself() -> None:
    result = EagerResult("e", 5, "SUCCESS", name="t")
    assert isinstance(result, AsyncResult)
    assert (result.get(), result.wait(1), result.result, result.info) == (5, 5, 5, 5)
    assert (result.state, result.status, result.name, result.id) == ("SUCCESS", "SUCCESS", "t", "e")
    assert (result.ready(), result.successful(), result.failed(), result.exists()) == (
        True,
        True,
        False,
        True,
    )
    assert (result.traceback, result.parent, result.children, result.errors) == (None, None, [], ())
    assert (result.date_done, result.worker, result.queue, result.retries) == (None,) * 4
    assert (result.args, result.kwargs) == (None, None)
    assert repr(result) == "<EagerResult: e>"
    result.forget()
    assert result.get() == 5
    calls: list[Any] = []
    result.get(callback=lambda id, value: calls.append((id, value)))
    assert result.maybe_throw(callback=lambda id, value: calls.append((id, value))) == 5
    assert result.then(calls.append) is result
    assert calls == [("e", 5), ("e", 5), result]


def test_an_eager_failure_is_raised_or_returned() -> None:
    error = ValueError("no")
    result: EagerResult[int] = EagerResult("e", error, "FAILURE", "its traceback")
    with pytest.raises(ValueError, match="no") as caught:
        result.get()
    assert caught.value is error
    assert cast(object, result.get(propagate=False)) is error
    assert result.traceback == "its traceback"
    assert (result.failed(), result.ready()) == (True, True)
    with pytest.raises(ValueError, match="no"):
        result.maybe_throw()
    told: list[Any] = []
    result.then(pytest.fail, told.append)
    result.then(told.append)
    assert told == [error, result]
    with pytest.raises(exceptions.RemoteError, match="FAILURE: words"):
        EagerResult("e", "words", "FAILURE").get()


def test_an_eager_retry_has_no_value() -> None:
    assert EagerResult("e", exceptions.Retry(), "RETRY").get() is None


def test_revoking_an_eager_result_replaces_it() -> None:
    result = EagerResult("e", 5, "SUCCESS")
    result.revoke(terminate=True)
    assert (result.state, result.traceback) == ("REVOKED", None)
    with pytest.raises(exceptions.TaskRevokedError, match="revoked"):
        result.get()


def test_an_eager_result_travels_whole() -> None:
    result = EagerResult("e", [5], "SUCCESS", None, "t")
    for twin in (copy.copy(result), pickle.loads(pickle.dumps(result))):
        assert (twin, twin.get(), twin.name) == (result, [5], "t")


def test_eager_results_can_be_members(home: Home) -> None:
    home.put("a", "SUCCESS", 1)
    results = ResultSet([EagerResult("e", 5, "SUCCESS"), home.result("a")])
    assert results.join() == [5, 1]
    eager = ResultSet([EagerResult("e", 5, "SUCCESS"), EagerResult("f", KeyError("k"), "FAILURE")])
    with working_for(home):
        assert (eager.completed_count(), eager.failed(), eager.ready()) == (1, True, True)
        assert [id for id, _ in eager.iter_native()] == ["e", "f"]
        with pytest.raises(KeyError, match="k"):
            eager.maybe_throw()
