"""`Task`: a registered function, how it is called later, and what it asks while it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Concatenate, Final, Generic, ParamSpec, Protocol, TypeVar

from litequeue.clock import Clock
from litequeue.context import current_request
from litequeue.exceptions import ImproperlyConfigured, MaxRetriesExceededError, Retry
from litequeue.result import AsyncResult
from litequeue.retry import RetryPolicy, is_spent

P = ParamSpec("P")
R = TypeVar("R")

_UNBUILT_FOR_TASKS: Final = (
    "acks_late acks_on_failure acks_on_timeout base rate_limit reject_on_worker_lost "
    "retry_on_worker_lost resultrepr_maxsize send_events serializer soft_time_limit "
    "store_errors_even_if_ignored throws time_limit track_started trail typing unique "
    "concurrency_key expires"
)
MAX_NAME: Final = 255
"""Bytes of the longest task, queue or job id that the file takes."""
LAST_MOMENT: Final = 1e11
"""Epoch seconds of the last moment that can be named, some 3,000 years away."""
MAX_PRIORITY: Final = 1_000_000_000
UNBUILT_TASK_OPTIONS: Final = frozenset(_UNBUILT_FOR_TASKS.split())
_UNBUILT_FOR_CALLS: Final = (
    "add_to_parent compression concurrency_key exchange headers idempotency_key ignore_result link "
    "link_error producer retry retry_policy routing_key serializer shadow soft_time_limit "
    "time_limit unique"
)
UNBUILT_CALL_OPTIONS: Final = frozenset(_UNBUILT_FOR_CALLS.split())


class Sender(Protocol):
    """What a task needs of its app."""

    @property
    def clock(self) -> Clock:
        """Where the app reads the time."""

    def send(
        self,
        task: Task[Any, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: CallOptions,
    ) -> AsyncResult[Any]:
        """Accept one call as a job."""


def _check_name(what: str, name: object) -> None:
    if name is None:
        return
    if not isinstance(name, str) or not 1 <= len(name.encode("utf-8", "replace")) <= MAX_NAME:
        raise ImproperlyConfigured(f"{what} is a text of 1 to {MAX_NAME} bytes, not {name!r:.80}")
    if not name.isprintable():
        raise ImproperlyConfigured(f"{what} holds a character that cannot be printed: {name!r:.80}")


def _check_priority(priority: object) -> None:
    if priority is not None and (
        isinstance(priority, bool)
        or not isinstance(priority, int)
        or not -MAX_PRIORITY <= priority <= MAX_PRIORITY
    ):
        raise ImproperlyConfigured(
            f"priority is a whole number of at most {MAX_PRIORITY:,}, not {priority!r}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """How one call of a task becomes a job.  Times are epoch seconds."""

    id: str | None = None
    queue: str | None = None
    priority: int | None = None
    eta: float | None = None
    expires: float | None = None

    def __post_init__(self) -> None:
        """Refuse what the file would not take."""
        _check_name("task_id", self.id)
        _check_name("queue", self.queue)
        _check_priority(self.priority)


AS_REGISTERED: Final = CallOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What a task was registered with (Celery's names)."""

    bind: bool = False
    queue: str | None = None
    priority: int | None = None
    ignore_result: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def __post_init__(self) -> None:
        """Refuse what the file would not take."""
        _check_name("queue", self.queue)
        _check_priority(self.priority)


class Task(Generic[P, R]):
    """A registered function.  Calling it runs it here and now; `delay` sends it to a worker."""

    def __init__(
        self, app: Sender, function: Callable[..., R], *, name: str, options: TaskOptions
    ) -> None:
        _check_name("the name of a task", name)
        self.app = app
        self.name = name
        self.run = function
        self.options = options
        self.__name__ = getattr(function, "__name__", name)
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = function
        self.check_arguments = _argument_check(function, bound=options.bind)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function in this process, without the queue."""
        return self.call(args, kwargs)

    def call(self, args: Iterable[Any], kwargs: Mapping[str, Any]) -> R:
        """Run the function, with the task itself in front if it is bound."""
        if self.options.bind:
            return self.run(self, *args, **kwargs)
        return self.run(*args, **kwargs)

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Enqueue a call; once this returns, the job is on disk.

        Raises TypeError for arguments the function does not take, `NotSerializable`,
        `PayloadTooLarge`, `QueueBusy` and `QueueFull` (not accepted), `EnqueueUncertain`.
        """
        self.check_arguments(args, kwargs)
        return self.app.send(self, args, kwargs, AS_REGISTERED)

    def apply_async(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        *,
        countdown: float | None = None,
        eta: datetime | float | None = None,
        expires: datetime | float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue a call with options; Celery's names.

        ``countdown`` is in seconds from now; ``eta`` the moment not to run before (an aware or
        local datetime, or epoch seconds); ``expires`` seconds from now, or a datetime, after
        which the job is revoked instead; higher ``priority`` runs first (default 0).  Sending the
        same ``task_id`` with the same payload again returns the same job; with another payload
        `DuplicateJob` is raised.  Raises as `delay` does.
        """
        _refuse_options(options, UNBUILT_CALL_OPTIONS, "apply_async()")
        if countdown is not None and eta is not None:
            raise ImproperlyConfigured("give countdown or eta, not both")
        arguments, keywords = tuple(args or ()), dict(kwargs or {})
        self.check_arguments(arguments, keywords)
        now = self.app.clock.now()
        call = CallOptions(
            id=task_id,
            queue=queue,
            priority=priority,
            eta=moment(eta if countdown is None else now + countdown),
            expires=moment(now + expires if isinstance(expires, int | float) else expires),
        )
        return self.app.send(self, arguments, keywords, call)

    def AsyncResult(self, id: str) -> AsyncResult[R]:
        """Return a handle on one of this task's jobs."""
        return self.app.AsyncResult(id)  # type: ignore[attr-defined, no-any-return]  # the app

    @property
    def request(self) -> Any:
        """The job that runs in this thread; its ``called_directly`` is true outside a worker."""
        return current_request.get() or DIRECT

    def retry(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | float | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
    ) -> Retry:
        """Give up this attempt and run the job again later; does not return (Celery's `retry`).

        ``countdown`` is in seconds (default: the task's ``default_retry_delay``); ``args`` and
        ``kwargs`` replace the job's own.  When no retry is left, raises ``exc``, or the exception
        being handled, or `MaxRetriesExceededError`.  With ``throw`` false the `Retry` is returned
        instead of raised, for the task to raise.
        """
        request = self.request
        policy = self.options.retry
        limit = policy.max_retries if max_retries is None else max_retries
        if request.called_directly:
            raise exc or _being_handled() or Retry("retry of a task that was called directly")
        if is_spent(request.retries, limit):
            raise (
                exc
                or _being_handled()
                or MaxRetriesExceededError(
                    f"{self.name} [{request.id}] failed after {request.retries} retries"
                )
            )
        now = self.app.clock.now()
        wait = policy.default_retry_delay if countdown is None else countdown
        when = moment(eta) or now
        if eta is None:
            when = moment(now + wait) or now
        retry = Retry(exc=exc or _being_handled(), when=max(0.0, when - now))
        request.plan_retry(
            when,
            args=None if args is None else tuple(args),
            kwargs=None if kwargs is None else dict(kwargs),
        )
        if throw:
            raise retry
        return retry

    def __repr__(self) -> str:
        """Return Celery's form."""
        return f"<@task: {self.name}>"


@dataclass(frozen=True, slots=True)
class Direct:
    """Stands for the request when a task is called as a plain function."""

    id: None = None
    retries: int = 0
    called_directly: bool = True
    is_eager: bool = False


DIRECT: Final = Direct()


class TaskDecorator(Protocol):
    """What ``@app.task(...)`` returns: types follow the function's signature."""

    def __call__(self, function: Callable[P, R], /) -> Task[P, R]:
        """Register the function."""


class BoundTaskDecorator(Protocol):
    """What ``@app.task(bind=True)`` returns: the first parameter is the task itself."""

    def __call__(self, function: Callable[Concatenate[Any, P], R], /) -> Task[P, R]:
        """Register the function."""


def task_options(options: dict[str, Any]) -> TaskOptions:
    """Sort the keyword arguments of ``@app.task``.

    Raises TypeError for an unknown one, NotImplementedError for one that is not built yet.
    """
    _refuse_options(
        {name: value for name, value in options.items() if name not in _KNOWN_TASK_OPTIONS},
        UNBUILT_TASK_OPTIONS,
        "@app.task()",
    )
    retry = {name: options[name] for name in _RETRY_OPTIONS if name in options}
    for name in ("autoretry_for", "dont_autoretry_for"):
        if name in retry:
            retry[name] = tuple(retry[name])
    for name, value in (retry.get("retry_kwargs") or {}).items():
        if name == "max_retries":
            retry["max_retries"] = value
        elif name != "countdown":
            raise NotImplementedError(f"retry_kwargs option {name!r}")
    retry["retry_backoff"] = float(retry.get("retry_backoff", 0))
    own = {name: options[name] for name in _OWN_OPTIONS if name in options}
    return TaskOptions(**own, retry=RetryPolicy(**retry))


_RETRY_OPTIONS: Final = frozenset(RetryPolicy.__dataclass_fields__)
_OWN_OPTIONS: Final = frozenset(TaskOptions.__dataclass_fields__) - {"retry"}
_KNOWN_TASK_OPTIONS: Final = _RETRY_OPTIONS | _OWN_OPTIONS


def _refuse_options(options: Iterable[str], unbuilt: frozenset[str], where: str) -> None:
    for name in options:
        if name in unbuilt:
            raise NotImplementedError(f"{where} option {name!r}")
        raise TypeError(f"{where} has no option {name!r}")


def moment(when: datetime | float | None) -> float | None:
    """Return epoch seconds; raises `ImproperlyConfigured` for what is no moment."""
    if when is None:
        return None
    seconds = when.astimezone(UTC).timestamp() if isinstance(when, datetime) else when
    if not -LAST_MOMENT <= seconds <= LAST_MOMENT:  # so is NaN
        raise ImproperlyConfigured(f"a moment is a datetime or epoch seconds, not {when!r}")
    return float(seconds)


def _being_handled() -> BaseException | None:
    import sys

    return sys.exc_info()[1]


_TAKES_ONE: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def _argument_check(
    function: Callable[..., Any], *, bound: bool
) -> Callable[[tuple[Any, ...], Mapping[str, Any]], None]:
    """Return a check that raises TypeError for arguments that ``function`` does not take.

    Plain positional calls are decided by counting: `Signature.bind` costs 4 µs.
    """
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if bound and parameters and parameters[0].kind in _TAKES_ONE:
        parameters = parameters[1:]
        signature = signature.replace(parameters=parameters)
    kinds = {parameter.kind for parameter in parameters}
    simple = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.POSITIONAL_ONLY}
    most = len(parameters) if simple else -1
    least = sum(parameter.default is inspect.Parameter.empty for parameter in parameters)
    name = getattr(function, "__name__", "task")

    def check(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        if not kwargs and least <= len(args) <= most:
            return
        try:
            signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}(): {error}") from None

    return check
