from __future__ import annotations

import builtins
import copy
import json
import pickle
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue import exceptions
from litequeue.context import current_request, working_for
from litequeue.job import Failure
from litequeue.result import (
    AsyncResult,
    EagerResult,
    ResultSet,
    allow_join_result,
    denied_join_result,
    rebuild,
)
from litequeue.result.waiting import Gathering, Patience, in_order
from litequeue.serialization import dumps
from litequeue.store import Record
from tests.conftest import FakeClock


def failure(type: str, *args: object) -> Failure:
    return Failure(type, "its text", "its traceback", dumps(list(args)))


@pytest.mark.parametrize(
    ("type", "args", "expected"),
    [
        ("ValueError", ["no"], ValueError("no")),
        ("KeyError", ["k"], KeyError("k")),
        ("OSError", [2, "no file"], FileNotFoundError(2, "no file")),
        ("WorkerLostError", ["died"], exceptions.WorkerLostError("died")),
        ("MaxRetriesExceededError", [], exceptions.MaxRetriesExceededError("its text")),
        ("TaskRevokedError", ["late"], exceptions.TaskRevokedError("late")),
    ],
)
def test_builtin_types_and_our_own_come_back(
    type: str, args: list[Any], expected: Exception
) -> None:
    error = rebuild(failure(type, *args), "FAILURE")
    assert error.__class__ is expected.__class__
    assert error.args == expected.args


def test_an_exception_without_words_comes_back_without() -> None:
    error = rebuild(Failure("ZeroDivisionError", "", None, "[]"), "FAILURE")
    assert (type(error), error.args) == (ZeroDivisionError, ())


@pytest.mark.parametrize(
    "type",
    [
        "shop.Oops",
        "os.system",
        "eval",
        "print",
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
        "BaseException",
        "object",
        "type",
        "__import__",
        "LiteQueueError.__class__",
        "json.decoder.JSONDecodeError",
        "",
    ],
)
def test_everything_else_comes_back_as_words(type: str) -> None:
    error = rebuild(failure(type, "x"), "FAILURE")
    assert isinstance(error, exceptions.RemoteError)
    assert (error.type, error.message, error.remote_traceback) == (
        type,
        "its text",
        "its traceback",
    )


@pytest.mark.parametrize("name", ["QueueBusy", "EnqueueUncertain", "Retry", "builtins"])
def test_only_listed_names_of_our_own_module_are_used(name: str) -> None:
    assert isinstance(rebuild(failure(name, "x"), "FAILURE"), exceptions.RemoteError)


def test_a_name_from_the_file_is_never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins, "__import__", pytest.fail)
    before = set(sys.modules)
    rebuild(failure("antigravity.Error", "x"), "FAILURE")
    assert set(sys.modules) == before


def test_arguments_that_do_not_fit_the_type_leave_the_words() -> None:
    error = rebuild(failure("UnicodeDecodeError", "only one"), "FAILURE")
    assert isinstance(error, exceptions.RemoteError)
    assert error.type == "UnicodeDecodeError"


BUILTINS = [
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, Exception)
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=5,
)


@given(st.sampled_from(BUILTINS), st.lists(JSON, max_size=5).map(json.dumps) | st.text(max_size=5))
def test_no_stored_row_makes_it_raise(name: str, args: str) -> None:
    error = rebuild(Failure(name, "text", None, args), "FAILURE")
    assert isinstance(error, Exception)


def test_without_a_failure_the_state_is_told() -> None:
    error = rebuild(None, "REVOKED")
    assert isinstance(error, exceptions.TaskRevokedError)
    assert "REVOKED" in str(error)


# A home without a file: what is "stored" changes while somebody sleeps.


@dataclass
class Codec:
    asked: list[str] = field(default_factory=list)

    def loads(self, text: str, *, context: str) -> Any:
        self.asked.append(context)
        return json.loads(text)

    def loads_arguments(self, body: str, *, context: str) -> Any:
        self.asked.append(context)
        return json.loads(body)


class Store:
    """What handles ask.  ``later`` happens one by one, whenever somebody sleeps."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.records: dict[str, Record] = {}
        self.later: list[Callable[[], object]] = []
        self.slept: list[float] = []
        self.asked: list[str] = []
        self.registered = 0

    def fetch(self, id: str) -> Record | None:
        self.asked.append(id)
        return self.records.get(id)

    def fetch_ended(self, ids: Iterable[str]) -> dict[str, Record | None]:
        looked = list(ids)
        self.asked += looked
        records = {id: self.records.get(id) for id in looked}
        return {id: each for id, each in records.items() if each is None or each.is_done}

    def children_of(self, id: str) -> list[str]:
        return [f"child of {id}"]

    def wait_for(self, id: str) -> Store:
        self.registered += 1
        return self

    def wait(self, timeout: float) -> None:
        self.slept.append(timeout)
        if self.later:
            self.later.pop(0)()
        else:
            self.clock.advance(timeout)

    def close(self) -> None:
        self.registered -= 1


class Home:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store: Any = Store(self.clock)
        self.codec = Codec()

    def put(self, id: str, state: str, result: object = None, **more: Any) -> None:
        ready = state in {"SUCCESS", "FAILURE", "REVOKED", "REJECTED", "IGNORED"}
        values: dict[str, Any] = {
            "phase": "done" if ready else "leased",
            "state": state,
            "result": None if result is None else json.dumps(result),
            "retries": 0,
            "finished": self.clock.now() if ready else None,
            "failure": None,
        }
        self.store.records[id] = Record(**(values | more))

    def later(self, id: str, state: str, result: object = None) -> None:
        self.store.later.append(lambda: self.put(id, state, result))

    def result(self, id: str) -> AsyncResult[Any]:
        return AsyncResult(id, app=self)


@pytest.fixture
def home() -> Home:
    return Home()


def test_what_is_stored_comes_through_the_apps_codec(home: Home) -> None:
    home.put("a", "SUCCESS", [1, 2])
    assert home.result("a").get() == [1, 2]
    assert home.codec.asked == ["result:a"]


def test_get_sleeps_until_the_job_has_ended(home: Home) -> None:
    home.put("a", "PENDING")
    home.later("a", "STARTED")
    home.later("a", "SUCCESS", 5)
    assert home.result("a").get() == 5
    assert len(home.store.slept) == 2
    assert home.store.registered == 0


def test_get_ends_when_its_time_is_over(home: Home) -> None:
    home.put("a", "STARTED")
    began = home.clock.monotonic()
    with pytest.raises(exceptions.TimeoutError, match=r"job a is still STARTED after 2\.5 s"):
        home.result("a").get(timeout=2.5)
    assert home.clock.monotonic() - began == 2.5
    assert home.store.registered == 0


def test_no_time_at_all_is_enough_for_what_is_there(home: Home) -> None:
    home.put("a", "SUCCESS", 5)
    home.put("b", "STARTED")
    assert home.result("a").get(timeout=0) == 5
    with pytest.raises(exceptions.TimeoutError):
        home.result("b").get(timeout=0)
    assert home.store.slept == []


def test_an_unknown_id_is_told_at_once(home: Home) -> None:
    result = home.result("a")
    with pytest.raises(exceptions.JobNotFound):
        result.get()
    assert (result.state, result.info, result.retries) == ("PENDING", None, None)
    assert (result.date_done, result.traceback) == (None, None)
    assert [result.exists(), result.ready(), result.successful(), result.failed()] == [False] * 4
    assert result.maybe_throw() is None


def test_on_interval_is_called_no_less_often(home: Home) -> None:
    home.put("a", "STARTED")
    calls: list[float] = []
    began = home.clock.monotonic()

    def on_interval() -> None:
        calls.append(home.clock.monotonic() - began)
        if len(calls) == 3:
            home.put("a", "SUCCESS", 5)

    home.store.later += [lambda: home.clock.advance(0.3)] * 2  # rung for nothing
    assert home.result("a").get(interval=2, on_interval=on_interval, timeout=100) == 5
    assert calls == [2, 4, 6]
    assert home.store.slept[:3] == [2, pytest.approx(1.7), pytest.approx(1.4)]


def test_on_interval_does_not_make_the_wait_longer(home: Home) -> None:
    home.put("a", "STARTED")
    began = home.clock.monotonic()
    with pytest.raises(exceptions.TimeoutError):
        home.result("a").get(timeout=1, interval=60, on_interval=lambda: None)
    assert home.clock.monotonic() - began == 1


def test_what_on_interval_raises_ends_the_wait(home: Home) -> None:
    home.put("a", "STARTED")

    def on_interval() -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        home.result("a").get(on_interval=on_interval)
    assert home.store.registered == 0


def test_on_message_is_called_for_each_change(home: Home) -> None:
    home.put("a", "PENDING")
    for state, meta in [
        ("PENDING", None),
        ("STARTED", None),
        ("PROGRESS", 1),
        ("PROGRESS", 1),
        ("PROGRESS", 2),
        ("SUCCESS", 5),
    ]:
        home.later("a", state, meta)
    messages: list[dict[str, Any]] = []
    assert home.result("a").get(on_message=messages.append) == 5
    assert [(each["status"], each["result"]) for each in messages] == [
        ("STARTED", None),
        ("PROGRESS", 1),
        ("PROGRESS", 2),
        ("SUCCESS", 5),
    ]
    assert messages[-1] == {
        "task_id": "a",
        "status": "SUCCESS",
        "result": 5,
        "traceback": None,
        "children": ["child of a"],
    }


def test_options_without_a_meaning_here_are_taken(home: Home) -> None:
    home.put("a", "SUCCESS", 5)
    assert home.result("a").get(no_ack=False, follow_parents=False) == 5
    assert home.result("a").wait(1) == 5
    with pytest.raises(TypeError, match="intervall"):
        home.result("a").get(intervall=1)  # type: ignore[call-arg]  # that is the point


def test_the_callback_gets_what_is_returned(home: Home) -> None:
    home.put("a", "SUCCESS", 5)
    home.put("b", "FAILURE", failure=failure("ValueError", "no"))
    calls: list[tuple[str, Any]] = []
    home.result("a").get(callback=lambda id, value: calls.append((id, value)))
    with pytest.raises(ValueError, match="no"):
        home.result("b").get(callback=lambda id, value: calls.append((id, value)))
    assert calls == [("a", 5)]


def test_the_tasks_exception_is_raised_or_returned(home: Home) -> None:
    home.put("a", "FAILURE", failure=failure("ValueError", "no"))
    result = home.result("a")
    with pytest.raises(ValueError, match="no"):
        result.get()
    with pytest.raises(ValueError, match="no"):
        result.maybe_throw()
    assert isinstance(result.get(propagate=False), ValueError)
    assert isinstance(result.maybe_reraise(propagate=False), ValueError)
    assert isinstance(result.result, ValueError)
    assert result.traceback == "its traceback"
    assert (result.failed(), result.successful(), result.ready()) == (True, False, True)


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({"step": 3}, ("FAILURE", "{'step': 3}")),
        ({"exc_type": "shop.Oops", "exc_message": "no stock"}, ("shop.Oops", "no stock")),
        ({"exc_type": "SystemExit"}, ("SystemExit", "")),
        ("gone", ("FAILURE", "gone")),
    ],
)
def test_a_failure_that_the_task_declared_itself(
    home: Home, meta: object, words: tuple[str, str]
) -> None:
    home.put("a", "FAILURE", meta)
    result = home.result("a")
    assert result.result == meta
    assert result.get(propagate=False) == meta
    with pytest.raises(exceptions.RemoteError) as caught:
        result.get()
    assert (caught.value.type, caught.value.message) == words


@pytest.mark.parametrize("state", ["REVOKED", "REJECTED"])
def test_a_verdict_without_words_is_an_exception_all_the_same(home: Home, state: str) -> None:
    home.put("a", state)
    with pytest.raises(exceptions.TaskRevokedError, match=state):
        home.result("a").get()


@pytest.mark.parametrize("state", ["IGNORED", "MINE"])
def test_a_job_that_ended_in_another_way_returns_what_it_said(home: Home, state: str) -> None:
    home.put("a", state, phase="done")
    home.put("b", state, {"done": 3}, phase="done")
    assert home.result("a").get() is None
    assert home.result("b").get() == {"done": 3}
    assert home.result("b").ready()


def test_a_state_of_its_own_is_no_verdict(home: Home) -> None:
    home.put("a", "SUCCESS", 1, phase="leased")
    home.put("b", "FAILURE", 1, phase="leased")
    for id in "ab":
        result = home.result(id)
        assert [result.ready(), result.successful(), result.failed()] == [False] * 3
        assert result.info == 1


def test_a_retry_shows_why(home: Home) -> None:
    home.put("a", "RETRY", phase="ready", failure=failure("OSError", "away"))
    home.put("b", "RETRY", phase="ready")
    assert repr(home.result("a").result) == "OSError('away')"
    assert home.result("a").maybe_throw().args == ("away",)
    assert home.result("b").result is None


def test_the_date_has_a_zone(home: Home) -> None:
    home.put("a", "SUCCESS")
    date = home.result("a").date_done
    assert date is not None
    assert date.isoformat() == "2023-11-14T22:13:20+00:00"


def test_what_is_ignored_is_not_awaited(home: Home) -> None:
    home.put("a", "STARTED")
    result = home.result("a")
    assert result.ignored is False
    result.ignored = True
    assert result.get() is None
    assert home.store.asked == []


# Where waiting is refused


def test_get_inside_a_task_is_refused(home: Home) -> None:
    home.put("a", "SUCCESS", 5)
    mark = current_request.set(object())
    try:
        for verb in (home.result("a").get, ResultSet([home.result("a")]).get):
            with pytest.raises(RuntimeError, match="own worker"):
                verb()
            assert verb(disable_sync_subtasks=False)
        with pytest.raises(RuntimeError, match="own worker"):
            home.result("a").aget().send(None)
        with allow_join_result():
            assert home.result("a").get() == 5
            with denied_join_result(), pytest.raises(RuntimeError, match="own worker"):
                home.result("a").get()
            assert home.result("a").get() == 5
        with pytest.raises(RuntimeError, match="own worker"):
            home.result("a").get()
    finally:
        current_request.reset(mark)


def test_get_can_be_denied_anywhere(home: Home) -> None:
    home.put("a", "SUCCESS", 5)
    with denied_join_result():
        for result in (home.result("a"), EagerResult("e", 5, "SUCCESS")):
            with pytest.raises(RuntimeError, match="own worker"):
                result.get()
            assert result.get(disable_sync_subtasks=False) == 5
    assert home.result("a").get() == 5


# A handle as a value


def test_handles_are_equal_by_id(home: Home) -> None:
    one, same, other = (AsyncResult(id, app=home) for id in ("a", "a", "b"))
    assert one == same
    assert one == "a"
    assert one != other
    assert one != 1
    assert len({one, same, other}) == 2
    assert (str(one), repr(one), one.task_id) == ("a", "<AsyncResult: a>", "a")
    assert one.as_tuple() == (("a", None), None)


def test_a_copy_keeps_the_app(home: Home) -> None:
    for twin in (copy.copy(home.result("a")), copy.deepcopy(home.result("a"))):
        assert twin == "a"
        assert twin.app is home


def test_a_pickled_handle_is_the_current_apps(home: Home) -> None:
    other = Home()
    twin = pickle.loads(pickle.dumps(home.result("a")))
    with working_for(other):
        assert twin.app is other
    assert twin.app is other, "once and for all"


def test_without_an_app_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("litequeue.context._app", [])
    with pytest.raises(exceptions.ImproperlyConfigured, match="LiteQueue"):
        AsyncResult("a").get()
    with pytest.raises(exceptions.ImproperlyConfigured, match="LiteQueue"):
        ResultSet[Any]([]).app  # noqa: B018 - that is the point


def test_only_waiting_jobs_can_be_revoked_yet(home: Home) -> None:
    with pytest.raises(NotImplementedError, match="terminate"):
        home.result("a").revoke(terminate=True, signal="KILL", wait=True, timeout=1)


# Many


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
