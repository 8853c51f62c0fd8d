"""Whether and when a job runs again: the decisions, and `Task.retry` that asks for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from litequeue import Task
from litequeue.exceptions import ImproperlyConfigured, MaxRetriesExceededError, Retry
from litequeue.retry import RetryPolicy, backoff, is_spent, patience
from litequeue.routing import Queue
from litequeue.worker.request import Request, RetryPlan
from tests.unit.bench import NOW, Bench

FACTORS = st.floats(0.01, 1000)
MAXIMA = st.floats(0.01, 10_000)
COUNTS = st.integers(0, 10_000)


@given(COUNTS, FACTORS, MAXIMA)
def test_backoff_doubles_up_to_its_maximum(retries: int, factor: float, maximum: float) -> None:
    delay = backoff(retries, factor=factor, maximum=maximum, jitter=False)
    assert delay <= maximum
    if delay < maximum:
        assert delay == factor * 2**retries
        assert backoff(retries + 1, factor=factor, maximum=maximum, jitter=False) == min(
            maximum, 2 * delay
        )


@given(COUNTS, FACTORS, MAXIMA, st.integers())
def test_jitter_takes_a_part_and_never_more(
    retries: int, factor: float, maximum: float, seed: int
) -> None:
    whole = backoff(retries, factor=factor, maximum=maximum, jitter=False)
    part = backoff(retries, factor=factor, maximum=maximum, jitter=True, random=Random(seed))
    assert 0 <= part <= whole


def test_jitter_spreads_over_the_whole_range() -> None:
    random = Random(1)
    delays = [backoff(3, factor=1, maximum=60, jitter=True, random=random) for _ in range(1_000)]
    assert min(delays) < 0.1
    assert max(delays) > 7.9


def test_without_backoff_the_delay_is_the_tasks_own() -> None:
    assert RetryPolicy(delay=7).countdown(5) == 7


def test_with_backoff_the_delay_grows() -> None:
    policy = RetryPolicy(retry_backoff=2.0, retry_backoff_max=10.0, retry_jitter=False)
    assert [policy.countdown(retries) for retries in range(4)] == [2, 4, 8, 10]


def test_the_defaults_are_celerys() -> None:
    policy = RetryPolicy()
    assert (policy.max_retries, policy.delay) == (3, 180)
    assert (policy.retry_backoff_max, policy.retry_jitter) == (600, True)
    assert not policy.retry_backoff


def test_only_listed_errors_ask_for_a_retry() -> None:
    policy = RetryPolicy(autoretry_for=(OSError,), dont_autoretry_for=(FileNotFoundError,))
    assert policy.wants(OSError())
    assert policy.wants(ConnectionResetError())
    assert not policy.wants(FileNotFoundError())
    assert not policy.wants(ValueError())
    assert not RetryPolicy().wants(Exception())


def test_a_job_is_spent_after_its_last_retry() -> None:
    assert not is_spent(2, 3)
    assert is_spent(3, 3)
    assert is_spent(0, 0)
    assert not is_spent(1_000_000, None)


# How long a call waits for other writers


@pytest.mark.parametrize(
    ("retry", "policy", "seconds"),
    [
        (None, None, None),
        (True, None, None),
        (False, None, 0.0),
        (False, {"timeout": 5}, 0.0),
        (None, {"timeout": 5}, 5.0),
        (None, {"max_retries": None}, None),
        (None, {"max_retries": 0}, 0.0),
        (None, {}, 0.0 + 0.2 + 0.4),
        (None, {"max_retries": 4, "interval_start": 1, "interval_step": 1, "interval_max": 2}, 7.0),
        (None, {"retry_errors": None, "max_retries": 1, "interval_start": 0.5}, 0.5),
    ],
)  # fmt: skip
def test_a_retry_policy_says_how_long_to_wait(
    retry: bool | None, policy: dict[str, Any] | None, seconds: float | None
) -> None:
    assert patience(retry, policy) == (None if seconds is None else pytest.approx(seconds))


def test_a_retry_policy_with_another_key_is_refused() -> None:
    with pytest.raises(TypeError, match="retry_policy has no 'intervall_max'"):
        patience(None, {"intervall_max": 5})


def test_a_retry_policy_without_an_end_in_sight_is_counted_soon() -> None:
    assert patience(None, {"max_retries": 10**12, "interval_max": 1}) is not None


# Task.retry


def plan_of(request: Request) -> RetryPlan:
    assert request.retry_plan is not None
    return request.retry_plan


def retry_while_handling(task: Task[..., Any], error: Exception, **options: Any) -> None:
    try:
        raise error
    except type(error):
        task.retry(**options)


@pytest.fixture
def task(bench: Bench) -> Task[..., Any]:
    return bench.task(lambda *args, **kwargs: None, max_retries=2, default_retry_delay=30)


def test_retry_plans_the_next_attempt_and_raises(bench: Bench, task: Task[..., Any]) -> None:
    with bench.running() as request, pytest.raises(Retry) as caught:
        task.retry()
    assert (caught.value.when, caught.value.exc) == (30, None)
    assert plan_of(request) == RetryPlan(when=NOW + 30)
    assert plan_of(request).moves is None


@pytest.mark.parametrize(
    ("options", "when"),
    [
        ({"countdown": 0}, NOW),
        ({"countdown": 5.5}, NOW + 5.5),
        ({"eta": NOW + 8}, NOW + 8),
        ({"eta": NOW - 8}, NOW - 8),
        ({"eta": datetime.fromtimestamp(NOW + 8, UTC)}, NOW + 8),
        ({"eta": NOW + 8, "countdown": 1}, NOW + 8),
    ],
)
def test_retry_takes_a_time(
    bench: Bench, task: Task[..., Any], options: dict[str, Any], when: float
) -> None:
    with bench.running() as request, pytest.raises(Retry) as caught:
        task.retry(**options)
    assert plan_of(request).when == when
    assert caught.value.when == max(0, when - NOW)


def test_retry_reads_a_datetime_as_apply_async_does(bench: Bench, task: Task[..., Any]) -> None:
    bench.app.conf.timezone = "Asia/Tokyo"
    zone = ZoneInfo("Asia/Tokyo")
    naive = (datetime.fromtimestamp(NOW, zone) + timedelta(minutes=1)).replace(tzinfo=None)
    with bench.running() as request, pytest.raises(Retry):
        task.retry(eta=naive, expires=naive)
    assert (plan_of(request).when, plan_of(request).expires) == (NOW + 60, NOW + 60)


def test_retry_can_change_the_arguments(bench: Bench, task: Task[..., Any]) -> None:
    with bench.running() as request, pytest.raises(Retry):
        task.retry(args=[1, 2], kwargs={"k": 3})
    assert (plan_of(request).args, plan_of(request).kwargs) == ((1, 2), {"k": 3})
    with bench.running() as request, pytest.raises(Retry):
        task.retry((), {})
    assert (plan_of(request).args, plan_of(request).kwargs) == ((), {}), "none, not the old ones"


def test_retry_gives_no_argument_twice(bench: Bench) -> None:
    task = bench.task(lambda x, y=0: None)
    with bench.running() as request:
        request.args, request.kwargs = [1], {"y": 2}
        task.retry(kwargs={"x": 5}, throw=False)
        assert (plan_of(request).args, plan_of(request).kwargs) == ((5,), {})
        request.args, request.kwargs = [], {"x": 1, "y": 2}
        task.retry(args=[5], throw=False)
        assert (plan_of(request).args, plan_of(request).kwargs) == ((5,), {"y": 2})


def test_retry_can_move_the_job(bench: Bench, task: Task[..., Any]) -> None:
    with bench.running() as request, pytest.raises(Retry):
        task.retry(queue="slow", priority=0, expires=60)
    assert plan_of(request).moves == ("slow", 0, NOW + 60)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"queue": ""}, ImproperlyConfigured),
        ({"priority": 1.5}, ImproperlyConfigured),
        ({"eta": float("nan")}, ImproperlyConfigured),
        ({"link": 5}, NotImplementedError),
        ({"shadow": "x"}, NotImplementedError),
        ({"time_limit": 5}, NotImplementedError),
        ({"soft_time_limit": 5}, NotImplementedError),
        ({"stamped_headers": ["tenant"]}, NotImplementedError),
        ({"contdown": 1}, TypeError),
    ],
)
def test_retry_refuses_what_cannot_be(
    bench: Bench, task: Task[..., Any], options: dict[str, Any], error: type[Exception]
) -> None:
    with bench.running() as request, pytest.raises(error):
        task.retry(**options)
    assert request.retry_plan is None


def test_without_throw_the_retry_is_planned_and_returned(
    bench: Bench, task: Task[..., Any]
) -> None:
    with bench.running() as request:
        retry = task.retry(throw=False, countdown=3)
    assert isinstance(retry, Retry)
    assert plan_of(request).when == NOW + 3


def test_a_retry_remembers_the_exception_being_handled(bench: Bench, task: Task[..., Any]) -> None:
    with bench.running(), pytest.raises(Retry) as caught:
        retry_while_handling(task, OSError("gone"))
    assert isinstance(caught.value.exc, OSError)
    with bench.running(), pytest.raises(Retry) as caught:
        retry_while_handling(task, OSError("gone"), exc=KeyError("mine"))
    assert isinstance(caught.value.exc, KeyError)


def test_when_no_retry_is_left_it_says_so(bench: Bench, task: Task[..., Any]) -> None:
    with bench.running(retries=1), pytest.raises(Retry):
        task.retry()
    with bench.running(retries=2) as request:
        request.args, request.kwargs = [1], {"k": 2}
        with pytest.raises(MaxRetriesExceededError) as caught:
            task.retry()
        assert str(caught.value) == "Can't retry t[the-id] args:[1] kwargs:{'k': 2}"
        assert (caught.value.task_args, caught.value.task_kwargs) == ([1], {"k": 2})
        with pytest.raises(task.MaxRetriesExceededError) as again:
            task.retry(args=[9])
        assert isinstance(again.value, MaxRetriesExceededError)
        assert (again.value.task_args, again.value.task_kwargs) == ((9,), {"k": 2})
        assert request.retry_plan is None


def test_when_no_retry_is_left_a_class_of_tasks_may_raise_its_own(bench: Bench) -> None:
    class TooOften(MaxRetriesExceededError):
        pass

    class Mine(Task[..., Any]):
        MaxRetriesExceededError = TooOften

    task = bench.task(lambda: None, base=Mine, max_retries=0)
    with bench.running(args=[5]) as request, pytest.raises(TooOften) as caught:
        task.retry(kwargs={"y": 1})
    assert caught.value.task_kwargs == {"y": 1}
    assert str(caught.value).startswith("Can't retry t[the-id] args:")
    assert request.retry_plan is None


def test_a_retry_may_go_to_a_queue_that_is_an_object(bench: Bench, task: Task[..., Any]) -> None:
    with bench.running() as request, pytest.raises(Retry):
        task.retry(queue=Queue("slow"))
    assert plan_of(request).queue == "slow"


def test_when_no_retry_is_left_the_exception_given_is_raised(
    bench: Bench, task: Task[..., Any]
) -> None:
    with bench.running(retries=2):
        with pytest.raises(ValueError, match="mine") as given:
            task.retry(exc=ValueError("mine"))
        assert given.value.__cause__ is None
        with pytest.raises(ValueError, match="mine") as caught:
            retry_while_handling(task, OSError("first"), exc=ValueError("mine"))
        assert isinstance(caught.value.__cause__, OSError)
        with pytest.raises(MaxRetriesExceededError) as spent:
            retry_while_handling(task, OSError("first"))
        assert isinstance(spent.value.__cause__, OSError), "as in Celery: exc= is for the other"


def test_the_same_exception_is_not_its_own_cause(bench: Bench, task: Task[..., Any]) -> None:
    error = OSError("first")
    with bench.running(retries=2), pytest.raises(OSError, match="first") as caught:
        retry_while_handling(task, error, exc=error)
    assert caught.value is error
    assert error.__cause__ is None


def test_a_limit_of_this_call_wins(bench: Bench, task: Task[..., Any]) -> None:
    with bench.running(retries=2), pytest.raises(Retry):
        task.retry(max_retries=3)
    with bench.running(retries=0), pytest.raises(MaxRetriesExceededError):
        task.retry(max_retries=0)
    task.max_retries = None
    with bench.running(retries=10_000), pytest.raises(Retry):
        task.retry()


def test_retry_kwargs_are_for_automatic_retries_only(bench: Bench) -> None:
    task = bench.task(lambda: None, max_retries=1, retry_kwargs={"max_retries": 5, "countdown": 7})
    with bench.running(retries=1), pytest.raises(MaxRetriesExceededError):
        task.retry()
    with bench.running(retries=0), pytest.raises(Retry) as caught:
        task.retry()
    assert caught.value.when == 180


def test_called_directly_retry_raises_what_went_wrong(task: Task[..., Any]) -> None:
    with pytest.raises(Retry):
        task.retry()
    with pytest.raises(KeyError):
        task.retry(exc=KeyError("x"))
    with pytest.raises(KeyError) as caught:
        retry_while_handling(task, ZeroDivisionError(), exc=KeyError("x"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_another_task_that_is_called_as_a_function_retries_nothing(
    bench: Bench, task: Task[..., Any]
) -> None:
    other = bench.app.task(name="other")(lambda: None)
    with bench.running("t") as request, pytest.raises(KeyError):
        other.retry(exc=KeyError("x"))
    assert request.retry_plan is None
