from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue.context import current_request
from litequeue.exceptions import ImproperlyConfigured, MaxRetriesExceededError, Retry
from litequeue.job import Lease
from litequeue.result import AsyncResult
from litequeue.task import (
    UNBUILT_CALL_OPTIONS,
    UNBUILT_TASK_OPTIONS,
    CallOptions,
    Task,
    _argument_check,
    task_options,
)
from litequeue.worker.request import Request, request_for
from tests.conftest import FakeClock

NOW = 1_700_000_000.0


class Outbox:
    """Stands for the app: keeps what is sent."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOW)
        self.calls: list[tuple[tuple[Any, ...], Mapping[str, Any], CallOptions]] = []

    def send(
        self,
        task: Task[Any, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: CallOptions,
    ) -> AsyncResult[Any]:
        self.calls.append((args, kwargs, options))
        return AsyncResult("sent", None)  # type: ignore[arg-type]  # nobody asks it


def make(function: Callable[..., Any], **options: Any) -> tuple[Task[..., Any], Outbox]:
    outbox = Outbox()
    return Task(outbox, function, name="t", options=task_options(options)), outbox


@contextmanager
def running(*, retries: int = 0) -> Iterator[Request]:
    lease = Lease(1, 2, retries + 1, "id", "t", "", None, "q", 0, retries, 0, None, None, None)
    request = request_for(lease, [], {}, "host")
    mark = current_request.set(request)
    try:
        yield request
    finally:
        current_request.reset(mark)


# The argument check

NAMES = ("a", "b", "c", "d")
KINDS = inspect._ParameterKind


@st.composite
def functions(draw: st.DrawFn) -> Callable[..., Any]:
    """Draw a function of any signature that Python allows."""
    count = draw(st.integers(0, 3))
    kinds = sorted(draw(st.lists(st.sampled_from(KINDS), min_size=count, max_size=count)), key=int)
    parameters, defaults = [], False
    for name, kind in zip(NAMES, kinds, strict=False):
        if kind in {p.kind for p in parameters} & {KINDS.VAR_POSITIONAL, KINDS.VAR_KEYWORD}:
            continue
        default = inspect.Parameter.empty
        if kind in (KINDS.POSITIONAL_ONLY, KINDS.POSITIONAL_OR_KEYWORD):
            defaults = defaults or draw(st.booleans())
            default = 0 if defaults else default
        elif kind is KINDS.KEYWORD_ONLY and draw(st.booleans()):
            default = 0
        parameters.append(inspect.Parameter(name, kind, default=default))
    text = str(inspect.Signature(parameters))
    namespace: dict[str, Any] = {}
    exec(f"def function{text}: return locals()", namespace)
    function: Callable[..., Any] = namespace["function"]
    return function


def accepts(function: Callable[..., Any], args: Any, kwargs: Any) -> bool:
    try:
        function(*args, **kwargs)
    except TypeError:
        return False
    return True


ARGS = st.lists(st.integers(), max_size=4).map(tuple)
KWARGS = st.dictionaries(st.sampled_from([*NAMES, "other"]), st.integers(), max_size=3)


@given(functions(), ARGS, KWARGS)
def test_the_check_refuses_exactly_what_binding_refuses(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    expected = accepts(inspect.signature(function).bind, args, kwargs)
    assert accepts(_argument_check(function, bound=False), (args, kwargs), {}) is expected


@given(functions(), ARGS, KWARGS)
def test_of_a_bound_task_the_first_parameter_is_taken(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    first = next(iter(inspect.signature(function).parameters.values()), None)
    if first is None or first.kind in (KINDS.KEYWORD_ONLY, KINDS.VAR_KEYWORD):
        return  # it takes no task, so it cannot be bound
    if first.name in kwargs and first.kind is KINDS.POSITIONAL_OR_KEYWORD:
        kwargs.pop(first.name)
    expected = accepts(inspect.signature(function).bind, ("the task", *args), kwargs)
    assert accepts(_argument_check(function, bound=True), (args, kwargs), {}) is expected


def test_the_error_names_the_function() -> None:
    def add(x: int, y: int) -> int:
        return x + y

    task, outbox = make(add)
    with pytest.raises(TypeError, match=r"^add\(\): missing a required argument: 'y'"):
        task.delay(1)
    with pytest.raises(TypeError, match=r"^add\(\): too many positional arguments"):
        task.apply_async((1, 2, 3))
    assert outbox.calls == []


# Calling


def test_a_task_is_still_a_function() -> None:
    def add(x: int, y: int) -> int:
        """Add."""
        return x + y

    task, outbox = make(add)
    assert task(1, y=2) == 3
    assert (task.__name__, task.__doc__, task.__wrapped__) == ("add", "Add.", add)
    assert outbox.calls == []


def test_a_bound_task_gets_itself_first() -> None:
    task, _ = make(lambda self, x: (self, x), bind=True)
    assert task(5) == (task, 5)
    assert task.request.called_directly


def test_delay_sends_its_arguments() -> None:
    task, outbox = make(lambda x, y=0: None)
    task.delay(1, y=2)
    assert outbox.calls == [((1,), {"y": 2}, CallOptions())]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"countdown": 5}, {"eta": NOW + 5}),
        ({"countdown": 0}, {"eta": NOW}),
        ({"eta": NOW + 7.5}, {"eta": NOW + 7.5}),
        ({"eta": datetime.fromtimestamp(NOW + 60, UTC)}, {"eta": NOW + 60}),
        ({"eta": datetime.fromtimestamp(NOW, timezone(timedelta(hours=5)))}, {"eta": NOW}),
        ({"eta": datetime.fromtimestamp(NOW + 60)}, {"eta": NOW + 60}),  # noqa: DTZ006 - naive is local
        ({"expires": 60}, {"expires": NOW + 60}),
        ({"expires": datetime.fromtimestamp(NOW + 9, UTC)}, {"expires": NOW + 9}),
        ({"priority": 9, "queue": "mail"}, {"priority": 9, "queue": "mail"}),
        ({"task_id": "mine"}, {"id": "mine"}),
    ],
)  # fmt: skip
def test_apply_async_turns_options_into_facts(
    options: dict[str, Any], expected: dict[str, Any]
) -> None:
    task, outbox = make(lambda: None)
    task.apply_async(**options)
    assert outbox.calls == [((), {}, CallOptions(**expected))]


def test_countdown_and_eta_exclude_each_other() -> None:
    task, _ = make(lambda: None)
    with pytest.raises(ImproperlyConfigured, match="not both"):
        task.apply_async(countdown=1, eta=NOW)


@pytest.mark.parametrize("name", sorted(UNBUILT_CALL_OPTIONS))
def test_call_options_still_to_come_are_refused_by_name(name: str) -> None:
    task, outbox = make(lambda: None)
    with pytest.raises(NotImplementedError, match=name):
        task.apply_async(**{name: None})
    assert outbox.calls == []


@pytest.mark.parametrize("name", sorted(UNBUILT_TASK_OPTIONS))
def test_task_options_still_to_come_are_refused_by_name(name: str) -> None:
    with pytest.raises(NotImplementedError, match=name):
        task_options({name: None})


def test_options_that_do_not_exist_are_refused() -> None:
    task, _ = make(lambda: None)
    with pytest.raises(TypeError, match="'contdown'"):
        task.apply_async(contdown=5)
    with pytest.raises(TypeError, match="'max_retry'"):
        task_options({"max_retry": 5})


def test_retry_options_take_celerys_forms() -> None:
    assert task_options({"retry_backoff": True}).retry.retry_backoff == 1.0
    assert task_options({"retry_backoff": 5}).retry.retry_backoff == 5.0
    assert task_options({"retry_backoff": False}).retry.retry_backoff == 0.0
    assert task_options({"autoretry_for": [OSError]}).retry.autoretry_for == (OSError,)
    assert task_options({"retry_kwargs": {"max_retries": 9}}).retry.max_retries == 9
    assert task_options({"max_retries": None}).retry.max_retries is None


def test_a_retry_option_that_is_not_understood_is_not_ignored() -> None:
    assert task_options({"retry_kwargs": {"countdown": 5}}).retry.countdown(0) == 5
    with pytest.raises(NotImplementedError, match="throw"):
        task_options({"retry_kwargs": {"throw": False}})


# Retry


def retry_while_handling(task: Task[..., Any], error: Exception) -> None:
    try:
        raise error
    except type(error):
        task.retry()


def test_called_directly_retry_raises_what_went_wrong() -> None:
    task, _ = make(lambda: None)
    with pytest.raises(Retry):
        task.retry()
    with pytest.raises(KeyError):
        task.retry(exc=KeyError("x"))
    with pytest.raises(ZeroDivisionError):
        retry_while_handling(task, ZeroDivisionError())


def test_in_a_request_retry_plans_the_next_attempt() -> None:
    task, _ = make(lambda: None, default_retry_delay=30)
    with running() as request, pytest.raises(Retry) as caught:
        task.retry()
    assert caught.value.when == 30
    assert request.retry_plan is not None
    assert (request.retry_plan.when, request.retry_plan.args) == (NOW + 30, None)


@pytest.mark.parametrize(
    ("options", "when"),
    [
        ({"countdown": 0}, NOW),
        ({"countdown": 5.5}, NOW + 5.5),
        ({"eta": NOW + 8}, NOW + 8),
        ({"eta": datetime.fromtimestamp(NOW + 8, UTC)}, NOW + 8),
    ],
)
def test_retry_takes_a_time(options: dict[str, Any], when: float) -> None:
    task, _ = make(lambda: None)
    with running() as request, pytest.raises(Retry):
        task.retry(**options)
    assert request.retry_plan is not None
    assert request.retry_plan.when == when


def test_retry_can_change_the_arguments() -> None:
    task, _ = make(lambda *a, **k: None)
    with running() as request, pytest.raises(Retry):
        task.retry(args=[1, 2], kwargs={"k": 3})
    assert request.retry_plan is not None
    assert (request.retry_plan.args, request.retry_plan.kwargs) == ((1, 2), {"k": 3})


def test_without_throw_the_retry_is_returned_for_the_task_to_raise() -> None:
    task, _ = make(lambda: None)
    with running() as request:
        assert isinstance(task.retry(throw=False), Retry)
        assert request.retry_plan is not None


def test_a_retry_remembers_the_exception_being_handled() -> None:
    task, _ = make(lambda: None)
    with running(), pytest.raises(Retry) as caught:
        retry_while_handling(task, OSError("gone"))
    assert isinstance(caught.value.exc, OSError)


def test_when_no_retry_is_left_the_best_exception_is_raised() -> None:
    task, _ = make(lambda: None, max_retries=2)
    with running(retries=2) as request:
        with pytest.raises(MaxRetriesExceededError, match="after 2 retries"):
            task.retry()
        with pytest.raises(ValueError, match="mine"):
            task.retry(exc=ValueError("mine"))
        with pytest.raises(ZeroDivisionError):
            retry_while_handling(task, ZeroDivisionError())
        with pytest.raises(Retry):
            task.retry(max_retries=3)
    assert request.retry_plan is not None
    with running(retries=0), pytest.raises(MaxRetriesExceededError):
        task.retry(max_retries=0)
    unlimited, _ = make(lambda: None, max_retries=None)
    with running(retries=10_000), pytest.raises(Retry):
        unlimited.retry()


@pytest.mark.parametrize(
    "options",
    [
        {"queue": ""},
        {"queue": "q" * 256},
        {"queue": "two\nlines"},
        {"queue": 5},
        {"task_id": ""},
        {"task_id": "a\0b"},
        {"priority": 1.5},
        {"priority": True},
        {"priority": 2**40},
    ],
)
def test_what_the_file_would_not_take_is_refused_at_the_call(options: dict[str, Any]) -> None:
    task, sent = make(lambda: None)
    with pytest.raises(ImproperlyConfigured, match=next(iter(options))):
        task.apply_async(**options)
    assert not sent.calls
