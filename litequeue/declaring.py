"""From a function, or a class, to a task: the decorators, and the check of a task's options."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar, overload

from litequeue.calling import check_limits, check_name, check_priority, refuse_options
from litequeue.exceptions import ImproperlyConfigured
from litequeue.routing import Queue
from litequeue.task import HOOKS, AsyncTask, Task

P = ParamSpec("P")
R = TypeVar("R")
Self_co = TypeVar("Self_co", covariant=True)

logger: Final = logging.getLogger("litequeue")

UNBUILT_TASK_OPTIONS: Final = frozenset(["concurrency_key", "rate_limit", "unique"])
TASK_OPTIONS: Final = frozenset(
    name
    for name in Task.__annotations__
    if name not in ("app", "abstract", "hooks", "name", "MaxRetriesExceededError")
) | (HOOKS - {"__call__"})
"""What ``@app.task`` takes, besides ``name``, ``bind`` and ``base``."""
_WITHOUT_EFFECT: Final = {
    "acks_on_failure": "a failed job stays in the file, as FAILURE",
    "acks_on_failure_or_timeout": "a failed job stays in the file, as FAILURE",
    "acks_on_timeout": "a failed job stays in the file, as FAILURE",
    "retry_on_worker_lost": "say reject_on_worker_lost=False to not run it again",
    "store_errors_even_if_ignored": "errors are always kept",
}
_SECONDS: Final = ("default_retry_delay", "retry_backoff", "retry_backoff_max")
_EXCEPTIONS: Final = ("autoretry_for", "dont_autoretry_for", "throws")


class TaskDecorator(Protocol):
    """What ``@app.task(...)`` returns: types follow the function's signature."""

    @overload
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R], /) -> Task[P, R]: ...


class BoundTaskDecorator(Protocol[Self_co]):
    """What ``@app.task(bind=True)`` returns: the first parameter is the task itself."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Self_co, P], Coroutine[Any, Any, R]], /
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Self_co, P], R], /) -> Task[P, R]: ...


class AnyTaskDecorator(Protocol):
    """What ``@app.task(bind=maybe)`` returns: whether a parameter is the task is not known."""

    def __call__(self, function: Callable[..., Any], /) -> Task[..., Any]:
        """Make a task of ``function``."""


def function_task(
    function: Callable[..., Any], base: type[Task[..., Any]], name: str, options: dict[str, Any]
) -> Task[..., Any]:
    """Return the task of a function: an instance of a subclass of ``base`` made for it.

    Raises TypeError for an unknown option, NotImplementedError for one still to come.
    """
    bound = options.pop("bind", False)
    check_option_names(base, options)
    kind = type(
        getattr(function, "__name__", name),
        (base,),
        {
            **options,
            "name": name,
            "run": function if bound else staticmethod(function),
            "abstract": False,
            "__doc__": function.__doc__,
            "__module__": function.__module__,
            "__qualname__": getattr(function, "__qualname__", name),
            "__wrapped__": staticmethod(function),
        },
    )
    task: Task[..., Any] = kind()
    task.__name__ = kind.__name__
    return task


def check_option_names(base: type[Task[..., Any]], options: Mapping[str, Any]) -> None:
    """Raise TypeError for an option unknown to ``base``, NotImplementedError for one to come."""
    unknown = {name: options[name] for name in options if not _is_option(base, name)}
    refuse_options(unknown, UNBUILT_TASK_OPTIONS, "@app.task()")


def _is_option(base: type[Task[..., Any]], name: str) -> bool:
    """Tell whether ``name`` is an attribute of tasks, or of their base class, that may be set."""
    if name in UNBUILT_TASK_OPTIONS:
        return False
    return name in TASK_OPTIONS or (hasattr(base, name) and not hasattr(Task, name))


def check_task(task: Task[..., Any]) -> None:
    """Look at a task's options, wherever they were set: call, class, or base class.

    Raises `ImproperlyConfigured` for one that makes no sense, ValueError for a soft time limit
    above the hard one, NotImplementedError for one to come.
    """
    check_name("the name of a task", task.name)
    queue: Any = task.queue
    if isinstance(queue, Queue):
        task.queue = queue.name
    check_name("queue", task.queue)
    check_priority(task.priority)
    for name in sorted(UNBUILT_TASK_OPTIONS):
        if getattr(task, name, None) is not None:
            raise NotImplementedError(f"task option {name!r}")
    for name, reason in _WITHOUT_EFFECT.items():
        if getattr(task, name) is False:
            logger.warning(
                "%s: the option %s=False changes nothing here: %s", task.name, name, reason
            )
    check_limits(task.time_limit, task.soft_time_limit, f"{task.name}: ")
    if task.capture is not None and not isinstance(task.capture, bool):
        raise ImproperlyConfigured(
            f"{task.name}: capture is True, False, or None for the setting task_capture_output, "
            f"not {task.capture!r:.80}"
        )
    _check_retries(task)


def _check_retries(task: Task[..., Any]) -> None:
    own: Any = task.retry_kwargs or {}
    if not isinstance(own, Mapping):
        raise ImproperlyConfigured(f"{task.name}: retry_kwargs is a mapping, not {own!r:.80}")
    for name in sorted(own.keys() - {"max_retries", "countdown"}, key=str):
        raise NotImplementedError(f"retry_kwargs option {name!r}")
    for name in _EXCEPTIONS:
        given = getattr(task, name)
        kinds = given if isinstance(given, tuple | list | set | frozenset) else (given,)
        if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
            raise ImproperlyConfigured(
                f"{task.name}: {name} is a tuple of exception classes, not {given!r:.80}"
            )
        setattr(task, name, tuple(kinds))
    for name, value in [*((each, getattr(task, each)) for each in _SECONDS), *own.items()]:
        if name != "max_retries" and not (isinstance(value, int | float) and value >= 0):
            raise ImproperlyConfigured(f"{task.name}: {name} is a number, not {value!r:.80}")
    for limit in (task.max_retries, own.get("max_retries")):
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int)):
            raise ImproperlyConfigured(
                f"{task.name}: max_retries is a whole number, or None for no limit, "
                f"not {limit!r:.80}"
            )
