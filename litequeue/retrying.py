"""`Task.retry`: whether an attempt is left, and what is to be different in the next one.

It knows tasks and their requests; `retry` decides about numbers alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from litequeue.calling import check_name, check_priority, ending, replace_arguments, starting
from litequeue.exceptions import Retry
from litequeue.retry import RetryPolicy, is_spent
from litequeue.routing import Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What `Task.retry` was given for the next attempt; None is "as it was"."""

    args: Iterable[Any] | None
    kwargs: Mapping[str, Any] | None
    queue: str | Queue | None
    exchange: str | None
    routing_key: str | None
    priority: int | None
    expires: datetime | float | str | None


def plan_retry(
    task: Any,
    changes: Changes,
    *,
    exc: BaseException | None,
    eta: datetime | float | None,
    countdown: float | None,
    max_retries: int | None,
) -> Retry:
    """Write the next attempt into the request of the running one, and return what to raise.

    Raises ``exc``, or the task's `MaxRetriesExceededError`, when no retry is left.
    """
    request = task.request
    if request.called_directly:
        _raise(exc or Retry("Task can be retried"))
    args, kwargs = _arguments(task, changes)
    if max_retries is not None:
        request.limit = max_retries
    limit = task.max_retries if max_retries is None else max_retries
    if is_spent(request.retries, limit):
        _raise(exc or _no_retry_left(task, args, kwargs))
    now, zone = task.app.clock.now(), task.app.zone
    wait = task.default_retry_delay if countdown is None else countdown
    when = starting(eta, wait if eta is None else None, now, zone) or now
    check_priority(changes.priority)
    request.plan_retry(
        when,
        args=args,
        kwargs=kwargs,
        queue=_queue(task, changes),
        priority=changes.priority,
        expires=ending(changes.expires, now, zone),
    )
    return Retry(exc=exc or sys.exc_info()[1], when=max(0.0, when - now), is_eager=request.is_eager)


def policy_of(task: Any) -> RetryPolicy:
    """Return when and how often a failed job of ``task`` runs again by itself."""
    given = task.retry_kwargs or {}
    return RetryPolicy(
        autoretry_for=tuple(task.autoretry_for),
        dont_autoretry_for=tuple(task.dont_autoretry_for),
        max_retries=given.get("max_retries", task.max_retries),
        delay=float(given.get("countdown", task.default_retry_delay)),
        retry_backoff=float(task.retry_backoff),
        retry_backoff_max=task.retry_backoff_max,
        retry_jitter=task.retry_jitter,
    )


def _arguments(task: Any, changes: Changes) -> tuple[tuple[Any, ...] | None, dict[str, Any] | None]:
    if changes.args is None and changes.kwargs is None:
        return None, None
    return replace_arguments(
        task.run,
        task.request.args,
        task.request.kwargs,
        new_args=None if changes.args is None else tuple(changes.args),
        new_kwargs=changes.kwargs,
    )


def _queue(task: Any, changes: Changes) -> str | None:
    name = changes.queue.name if isinstance(changes.queue, Queue) else changes.queue
    if changes.exchange is not None or changes.routing_key is not None:
        where = {"queue": name, "exchange": changes.exchange, "routing_key": changes.routing_key}
        name = task.app.router.route(task.name, (), {}, where, task=task)["queue"]
    check_name("queue", name)
    return name


def _no_retry_left(task: Any, args: Any, kwargs: Any) -> Exception:
    request = task.request
    arguments = request.args if args is None else args
    keywords = request.kwargs if kwargs is None else kwargs
    error: Exception = task.MaxRetriesExceededError(
        f"Can't retry {task.name}[{request.id}] args:{arguments!r:.200} kwargs:{keywords!r:.200}",
        task_args=arguments,
        task_kwargs=keywords,
    )
    return error


def _raise(error: BaseException) -> NoReturn:
    """Raise ``error`` from the exception that is being handled, if it is another one."""
    handled = sys.exc_info()[1]
    if handled is None or handled is error:
        raise error
    raise error from handled
