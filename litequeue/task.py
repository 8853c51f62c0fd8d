"""`Task`: a registered function, and how it is called later.

What it asks while it runs is in `running`.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, cast

from litequeue.calling import (
    AS_REGISTERED,
    FOR_A_QUEUE,
    UNBUILT_CALL_OPTIONS,
    CallOptions,
    Eagerly,
    argument_check,
    arguments_given,
    ending,
    id_for_key,
    refuse_options,
    starting,
    take_stamps,
)
from litequeue.canvas import Signature, linking
from litequeue.context import current_app, planning
from litequeue.exceptions import MaxRetriesExceededError as SpentError
from litequeue.result import AsyncResult
from litequeue.result.async_result import R
from litequeue.retry import patience
from litequeue.routing import Queue
from litequeue.running import Running

if TYPE_CHECKING:  # defaults, so that `class MyTask(Task)` says enough: in Python 3.13's typing
    from typing_extensions import ParamSpec

    from litequeue.canvas.maps import chunks
    from litequeue.result import EagerResult

    P = ParamSpec("P", default=...)
else:
    from typing import ParamSpec

    P = ParamSpec("P")


class Task(Running, Generic[P, R]):
    """A registered function.  Calling it runs it here and now; `delay` sends it to a worker.

    Its options are attributes, with Celery's names and defaults, and may be set on a base class:
    ``@app.task(base=...)``, or a class with a ``run`` method and `LiteQueue.register_task`.  There
    is one instance per process, so what `__init__` or a property keeps is shared by its jobs.
    Durations are seconds.  docs/reference/tasks.md describes each option.
    """

    abstract: ClassVar[bool] = True
    hooks: frozenset[str] = frozenset()
    """The names of the hooks that it has of its own, and "__call__"."""
    typing: bool = True
    """Check the arguments when the task is sent."""

    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    priority: int | None = None
    expires: datetime | float | None = None
    serializer: str | None = None
    compression: str | None = None
    ignore_result: bool | None = None
    store_errors_even_if_ignored: bool | None = None
    trail: bool = True
    """Remember the jobs that it sends as children of its own."""

    max_retries: int | None = 3
    default_retry_delay: float = 180.0
    autoretry_for: Iterable[type[BaseException]] = ()
    dont_autoretry_for: Iterable[type[BaseException]] = ()
    retry_kwargs: Mapping[str, Any] | None = None
    retry_backoff: bool | float = False
    retry_backoff_max: float = 600.0
    retry_jitter: bool = True
    throws: type[BaseException] | tuple[type[BaseException], ...] = ()
    """Exceptions that are expected: logged in one line, as information."""

    acks_late: bool | None = None
    acks_on_failure: bool | None = None
    acks_on_timeout: bool | None = None
    acks_on_failure_or_timeout: bool | None = None
    reject_on_worker_lost: bool | None = None
    retry_on_worker_lost: bool | None = None
    track_started: bool | None = None
    time_limit: float | None = None
    soft_time_limit: float | None = None
    send_events: bool = True
    capture: bool | None = None
    """Keep what an attempt logs and prints; None: as the setting ``task_capture_output`` says."""
    resultrepr_maxsize: int = 1024
    """Characters of the result that the log shows."""

    MaxRetriesExceededError: ClassVar[type[SpentError]] = SpentError

    def run(self, *args: P.args, **kwargs: P.kwargs) -> R | Coroutine[Any, Any, R]:
        """Do the work: what a class-based task defines; raises NotImplementedError without."""
        raise NotImplementedError("tasks must define the run method")

    # Hooks: the same moments as Celery's, in the process that runs the job

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
        """Be called before the job runs; what it raises is the job's own failure."""

    def on_success(self, retval: Any, task_id: str, args: Any, kwargs: Any) -> None:
        """Be called when the job has returned ``retval``."""

    def on_failure(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Be called when the job has failed for good; `retry` in here runs it again instead."""

    def on_retry(self, exc: Any, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Be called when the job will be run again because of ``exc``."""

    def after_return(
        self, status: str, retval: Any, task_id: str, args: Any, kwargs: Any, einfo: Any
    ) -> None:
        """Be called last, with the state and the result or the exception."""

    def shadow_name(self, args: Any, kwargs: Any, options: Any) -> str | None:
        """Return the name to show for one call in logs, None for the task's own."""

    def find_hooks(self) -> frozenset[str]:
        """Return the names of the hooks that the task has of its own."""
        return frozenset(
            name
            for name in HOOKS
            if name in vars(self) or getattr(type(self), name) is not getattr(Task, name)
        )

    def _changes_calls(self) -> bool:
        """Tell whether `apply_async` is another one: a subclass's, or somebody's patch."""
        return "apply_async" in self.__dict__ or type(self).apply_async is not _APPLY_ASYNC

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a hook may come at any time."""
        object.__setattr__(self, name, value)
        if name in HOOKS:
            object.__setattr__(self, "hooks", self.find_hooks())

    def __delattr__(self, name: str) -> None:
        """Delete an attribute; a hook may go at any time."""
        object.__delattr__(self, name)
        if name in HOOKS:
            object.__setattr__(self, "hooks", self.find_hooks())

    # Calling

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function in this process, without the queue."""
        return cast(R, self.run(*args, **kwargs))

    def check_arguments(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise TypeError for arguments that the task does not take."""
        self._check(args, kwargs)

    def _check_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Check the arguments of a call; a step of a workflow will get results before them."""
        planned = planning.get()
        if planned is None or planned.task is not self:
            self._check(args, kwargs)
        elif planned.given is not None:
            try:
                self._check((*(None,) * planned.given, *args), kwargs)
            except TypeError as error:
                first = ", with the result before it as the first" if planned.given else ""
                step = f"{self.s(*args, **kwargs)!r:.100}"
                raise TypeError(f"{error}{first}, in the step {step} of a workflow") from None

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult[R]:
        """Enqueue a call; once this returns, the job is on disk.

        Raises TypeError for arguments the function does not take, `NotSerializable`,
        `PayloadTooLarge`, `QueueBusy` and `QueueFull` (not accepted), `EnqueueUncertain`.
        """
        if "shadow_name" in self.hooks or self._changes_calls():
            return self.apply_async(args, kwargs)
        if self.typing:
            self._check_call(args, kwargs)
        result: AsyncResult[R] = self.app.send(self, args, kwargs, AS_REGISTERED)
        return result

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        *,
        countdown: float | None = None,
        eta: datetime | float | str | None = None,
        expires: datetime | float | str | None = None,
        priority: int | None = None,
        queue: str | Queue | None = None,
        exchange: str | None = None,
        routing_key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        shadow: str | None = None,
        serializer: str | None = None,
        compression: str | None = None,
        ignore_result: bool | None = None,
        add_to_parent: bool = True,
        time_limit: float | None = None,
        soft_time_limit: float | None = None,
        stamped_headers: Iterable[str] | None = None,
        idempotency_key: str | None = None,
        retry: bool | None = None,
        retry_policy: Mapping[str, Any] | None = None,
        link: Any = None,
        link_error: Any = None,
        **options: Any,
    ) -> AsyncResult[R]:
        """Enqueue a call with options; Celery's names.

        ``countdown`` is in seconds from now; ``eta`` the moment not to run before (a datetime, or
        epoch seconds); ``expires`` seconds from now, or a datetime, after which the job is revoked
        instead; higher ``priority`` runs first (default 0).  Sending the same ``task_id``, or the
        same ``idempotency_key`` of the task, with the same payload again returns the same job;
        with another payload `DuplicateJob` is raised.  ``retry`` false gives up as soon as
        another process writes; ``retry_policy`` says how long to wait for it.
        ``stamped_headers`` names those of the other options that are stamps.  ``link`` is a
        signature, or several, to be called with the result, ``link_error`` if the job fails.
        Raises as `delay`, and ValueError for a soft time limit above the hard one.
        """
        stamps = take_stamps(options, stamped_headers, "apply_async()")
        refuse_options(options, UNBUILT_CALL_OPTIONS, "apply_async()")
        arguments, keywords = arguments_given(args, kwargs)
        if self.typing:
            self._check_call(arguments, keywords)
        now = self.app.clock.now()
        call = CallOptions(
            id=id_for_key(self.name, idempotency_key) if idempotency_key else task_id,
            queue=queue.name if isinstance(queue, Queue) else queue,
            exchange=exchange,
            routing_key=routing_key,
            priority=priority,
            eta=starting(eta, countdown, now, self.app.zone),
            expires=ending(expires, now, self.app.zone),
            headers=headers,
            shadow=shadow or self.shadow_name(arguments, keywords, options),
            ignore_result=ignore_result,
            serializer=serializer,
            compression=compression,
            add_to_parent=add_to_parent,
            time_limit=time_limit,
            soft_time_limit=soft_time_limit,
            stamps=stamps,
            patience=patience(retry, retry_policy),
            link=link,
            link_error=link_error,
        )
        result: AsyncResult[R] = self.app.send(self, arguments, keywords, call)
        return result

    def apply(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        retries: int = 0,
        throw: bool | None = None,
        logfile: str | None = None,
        loglevel: int | None = None,
        headers: Mapping[str, Any] | None = None,
        stamped_headers: Iterable[str] | None = None,
        **options: Any,
    ) -> EagerResult[R]:
        """Run a call here and now as a worker would, retries and hooks included, and store nothing.

        ``throw`` raises what the task raises (default: the setting ``task_eager_propagates``).
        Waits are left out.  Options of `apply_async` that need a queue change nothing, as in
        Celery.
        """
        stamps = take_stamps(options, stamped_headers, "apply()")
        callbacks, errbacks = options.pop("link", None), options.pop("link_error", None)
        rest = {name: options[name] for name in options.keys() - FOR_A_QUEUE}
        refuse_options(rest, UNBUILT_CALL_OPTIONS, "apply()")
        how = Eagerly(
            id=task_id, retries=retries, throw=throw, headers=headers, stamps=stamps,
            logfile=logfile, loglevel=loglevel,
        )  # fmt: skip
        result: EagerResult[R] = self.app.apply(self, *arguments_given(args, kwargs), how)
        if callbacks or errbacks:
            linking.call(self.s(), result, callbacks, errbacks)
        return result

    def AsyncResult(self, id: str) -> AsyncResult[R]:
        """Return a handle on one of this task's jobs."""
        result: AsyncResult[R] = self.app.AsyncResult(id)
        return result

    # Calls to be made later: `litequeue.canvas`

    def signature(
        self,
        args: Iterable[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Signature[R]:
        """Return a call with ``options`` and ``named`` of `apply_async`, or ``immutable``."""
        return Signature(self, args, kwargs, options, **{"app": self.app, **named})

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return a call with these arguments, to which others may be added in front."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature[R]:
        """Return a call with these arguments, to which none are added."""
        return self.signature(args, kwargs, immutable=True)

    def map(self, it: Iterable[Any]) -> Signature[list[R]]:
        """Return a call of this task with every item of ``it``, all in one job."""
        from litequeue.canvas.maps import xmap

        return xmap(self.s(), it, app=self.app)

    def starmap(self, it: Iterable[Iterable[Any]]) -> Signature[list[R]]:
        """Do as `map` does; the items are the arguments of each call."""
        from litequeue.canvas.maps import xstarmap

        return xstarmap(self.s(), it, app=self.app)

    def chunks(self, it: Iterable[Iterable[Any]], n: int) -> chunks:
        """Return jobs that each do as `starmap` does with ``n`` items of ``it``."""
        from litequeue.canvas.maps import chunks

        return chunks(self.s(), it, n, app=self.app)

    def bind(self, app: Any) -> None:
        """Become a task of ``app``."""
        self.app = app
        self._check = argument_check(self.run)
        self.hooks = self.find_hooks()
        self.on_bound(app)

    @classmethod
    def on_bound(cls, app: Any) -> None:
        """Be called when the task has become a task of ``app``."""

    def __repr__(self) -> str:
        """Return Celery's form."""
        return f"<@task: {self.name}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a name: the other process has the task."""
        return _task_of_current_app, (self.name,)


class AsyncTask(Task[P, R]):
    """A registered ``async def`` function: calling it makes a coroutine, a worker awaits it."""

    def run(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        """Do the work: the ``async def`` function."""
        raise NotImplementedError("tasks must define the run method")

    if TYPE_CHECKING:  # it is the same method: one of its own would count as a hook

        def __call__(  # type: ignore[override]  # calling a coroutine function makes a coroutine
            self, *args: P.args, **kwargs: P.kwargs
        ) -> Coroutine[Any, Any, R]:
            """Return the coroutine."""


_APPLY_ASYNC: Final = Task.apply_async
HOOKS: Final = frozenset(
    ("__call__", "after_return", "before_start", "on_failure", "on_retry", "on_success")
) | {"shadow_name"}


def _task_of_current_app(name: str) -> Any:
    return current_app().tasks[name]
