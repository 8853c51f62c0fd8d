"""The options of a task are looked at wherever they are set: decorator, class, annotation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from litequeue import Task
from litequeue.declaring import TASK_OPTIONS, UNBUILT_TASK_OPTIONS
from litequeue.exceptions import ImproperlyConfigured
from litequeue.routing import Queue
from tests.unit.bench import Bench, raising


def by_decorator(bench: Bench, **options: Any) -> Task[..., Any]:
    return bench.task(lambda: None, **options)


def by_base_class(bench: Bench, **options: Any) -> Task[..., Any]:
    return bench.task(lambda: None, base=type("Base", (Task,), options))


def by_class(bench: Bench, **options: Any) -> Task[..., Any]:
    kind = type("Own", (Task,), {"name": "t", "run": lambda self: None, **options})
    return bench.app.register_task(kind)


def by_registering(bench: Bench, **options: Any) -> Task[..., Any]:
    kind = type("Own", (Task,), {"name": "t", "run": lambda self: None})
    return bench.app.register_task(kind(), **options)


def by_init(bench: Bench, **options: Any) -> Task[..., Any]:
    kind = type("Own", (Task,), {"name": "t", "run": lambda self: None})
    task: Task[..., Any] = kind()
    vars(task).update(options)
    return bench.app.register_task(task)


def by_annotation(bench: Bench, **options: Any) -> Task[..., Any]:
    bench.app.conf.task_annotations = {"t": options}
    bench.task(lambda: None)
    return bench.app.tasks["t"]


WAYS = (by_decorator, by_base_class, by_class, by_registering, by_init, by_annotation)
everywhere = pytest.mark.parametrize("way", WAYS)
Way = Callable[..., Task[..., Any]]


@everywhere
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("autoretry_for", ("KeyError",), r"t: autoretry_for is a tuple of exception classes, not"),
        ("autoretry_for", "KeyError", "autoretry_for"),
        ("autoretry_for", (int,), "autoretry_for"),
        ("autoretry_for", KeyError("k"), "autoretry_for"),
        ("autoretry_for", None, "autoretry_for"),
        ("dont_autoretry_for", [5], "dont_autoretry_for"),
        ("throws", ("KeyError",), "throws"),
        ("max_retries", "3", "max_retries is a whole number, or None for no limit, not '3'"),
        ("max_retries", 2.5, "max_retries"),
        ("max_retries", True, "max_retries"),
        ("default_retry_delay", "soon", "default_retry_delay is a number, not 'soon'"),
        ("default_retry_delay", None, "default_retry_delay"),
        ("default_retry_delay", -1, "default_retry_delay"),
        ("default_retry_delay", float("nan"), "default_retry_delay"),
        ("retry_backoff", "2", "retry_backoff"),
        ("retry_backoff_max", "x", "retry_backoff_max"),
        ("retry_kwargs", [("max_retries", 3)], "retry_kwargs is a mapping"),
        ("retry_kwargs", {"max_retries": "3"}, "max_retries is a whole number"),
        ("retry_kwargs", {"countdown": "3"}, "countdown is a number, not '3'"),
        ("queue", "two\nlines", "queue"),
        ("queue", 5, "queue"),
        ("priority", "high", "priority"),
        ("time_limit", 0, r"t: time_limit is a number of seconds above 0, or None, not 0"),
        ("time_limit", "5", "time_limit"),
        ("time_limit", True, "time_limit"),
        ("time_limit", float("nan"), "time_limit"),
        ("soft_time_limit", -1, "t: soft_time_limit is a number of seconds above 0"),
        ("soft_time_limit", float("inf"), "soft_time_limit"),
        ("capture", 5, "t: capture is True, False, or None for the setting task_capture_output"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    bench: Bench, way: Way, option: str, value: object, words: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=words):
        way(bench, **{option: value})


@everywhere
@pytest.mark.parametrize("option", sorted(UNBUILT_TASK_OPTIONS))
def test_what_is_still_to_come_is_refused_and_none_asks_for_nothing(
    bench: Bench, way: Way, option: str
) -> None:
    with pytest.raises(NotImplementedError, match=option):
        way(bench, **{option: 5})
    bench.app._registry.tasks.clear()
    if way is not by_annotation:
        assert way(bench, **{option: None}).name == "t"


@everywhere
def test_a_soft_limit_above_the_hard_one_is_refused_as_celery_does(bench: Bench, way: Way) -> None:
    with pytest.raises(ValueError, match="soft_time_limit must be less than or equal to") as caught:
        way(bench, time_limit=3, soft_time_limit=5)
    assert str(caught.value).endswith("time_limit, and 5 is more than 3")
    assert str(caught.value).startswith("t: ")


@everywhere
def test_limits_may_be_given_alone_and_be_the_same(bench: Bench, way: Way) -> None:
    task = way(bench, time_limit=3, soft_time_limit=3, send_events=False, capture=True)
    assert (task.time_limit, task.soft_time_limit) == (3, 3)
    assert (task.send_events, task.capture) == (False, True)
    for alone in ({"time_limit": 0.5}, {"soft_time_limit": 0.5}):
        bench.app._registry.tasks.clear()
        assert way(bench, **alone).name == "t"


@everywhere
def test_exceptions_may_be_given_in_any_collection(bench: Bench, way: Way) -> None:
    task = way(
        bench, throws=[KeyError, OSError], autoretry_for=KeyError, dont_autoretry_for={OSError}
    )
    assert task.throws == (KeyError, OSError)
    assert (task.autoretry_for, task.dont_autoretry_for) == ((KeyError,), (OSError,))


@everywhere
def test_a_queue_may_be_an_object(bench: Bench, way: Way) -> None:
    assert way(bench, queue=Queue("mail")).queue == "mail"


@everywhere
def test_retry_kwargs_of_which_we_know_nothing_are_refused(bench: Bench, way: Way) -> None:
    with pytest.raises(NotImplementedError, match=r"retry_kwargs option 'queue'"):
        way(bench, retry_kwargs={"queue": "mail"})


def test_what_has_been_refused_is_not_registered(bench: Bench) -> None:
    with pytest.raises(ImproperlyConfigured):
        bench.task(lambda: None, max_retries="3")
    assert dict(bench.app.tasks) == {}


def test_a_list_of_expected_errors_holds_in_a_job(bench: Bench) -> None:
    outcome = bench.run(raising(KeyError("k")), throws=[KeyError])
    assert outcome.failure is not None
    assert outcome.failure.expected
    assert bench.run(raising(KeyError("k")), autoretry_for=KeyError).state == "RETRY"


def test_registering_refuses_names_that_are_no_options(bench: Bench) -> None:
    with pytest.raises(TypeError, match="no option 'max_retrys'"):
        by_registering(bench, max_retrys=7)
    assert by_registering(bench, max_retries=7).max_retries == 7


@pytest.mark.parametrize(
    "option",
    [
        "acks_on_failure",
        "acks_on_failure_or_timeout",
        "acks_on_timeout",
        "retry_on_worker_lost",
        "store_errors_even_if_ignored",
    ],
)
def test_what_changes_nothing_here_says_why_when_it_is_set(
    bench: Bench, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    by_decorator(bench, **{option: None})
    bench.app.task(name="u", **{option: True})(lambda: None)
    assert caplog.text == ""
    bench.app.task(name="v", **{option: False})(lambda: None)
    assert f"v: the option {option}=False changes nothing here: " in caplog.text


def test_every_option_is_an_attribute_of_tasks() -> None:
    assert all(hasattr(Task, name) for name in TASK_OPTIONS)
    assert not TASK_OPTIONS & UNBUILT_TASK_OPTIONS
