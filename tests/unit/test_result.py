from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from litequeue import exceptions
from litequeue.context import current_request, working_for
from litequeue.result import (
    AsyncResult,
    EagerResult,
    ResultSet,
    allow_join_result,
    denied_join_result,
)
from tests.unit.homes import Home, Store, failure


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


def test_what_ends_before_the_wait_is_announced_is_not_missed(home: Home) -> None:
    home.put("a", "STARTED")
    announce = home.store.wait_for

    def wait_for(id: str) -> Store:
        home.put("a", "SUCCESS", 5)
        return announce(id)

    home.store.wait_for = wait_for
    assert home.result("a").get() == 5
    assert home.store.slept == []


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


def test_a_job_is_not_ended_by_a_signal_that_is_none(home: Home) -> None:
    with pytest.raises(ValueError, match="'SIGNAL' is no signal"):
        home.result("a").revoke(terminate=True, signal="SIGNAL")
