"""One lease in, one outcome out.  Runs user code, decides, and writes nothing."""

from __future__ import annotations

import contextvars
import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from litequeue import signals, states
from litequeue.calling import moment
from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.context import current_request
from litequeue.exceptions import (
    Ignore,
    LiteQueueError,
    Reject,
    Retry,
)
from litequeue.job import Failure, Lease, Outcome, arguments_of, result_of
from litequeue.retry import is_spent
from litequeue.serialization import Codec, Types, dumps
from litequeue.task import Task
from litequeue.worker import hooks
from litequeue.worker.failure import clean, describe, repr_safely
from litequeue.worker.request import Request, RetryPlan, request_for

logger: Final = logging.getLogger("litequeue.worker")

_NEEDS_AFTER_RETURN: Final = frozenset({states.SUCCESS, states.FAILURE})


class Workplace(Protocol):
    """What running jobs needs of an app."""

    @property
    def conf(self) -> Settings:
        """The settings."""

    @property
    def tasks(self) -> dict[str, Task[..., Any]]:
        """The tasks by name."""

    @property
    def codec(self) -> Codec:
        """What reads arguments and writes results."""

    @property
    def types(self) -> Types:
        """The classes that arguments may be of."""


@dataclass(slots=True)
class Attempt:
    """What one attempt came to.  ``value`` is what was returned or raised, ``result`` its text."""

    state: str
    value: Any = None
    result: str | None = None
    failure: Failure | None = None
    eta: float | None = None
    counted: bool = True
    plan: RetryPlan | None = None
    body: str | None = None
    retry: Retry | None = None


class Executor:
    """Runs leases of one app in this process.  ``hostname`` is the worker's name."""

    def __init__(self, app: Workplace, clock: Clock, hostname: str) -> None:
        self._app = app
        self._tasks = app.tasks
        self._conf = app.conf
        self._codec = app.codec
        self._clock = clock
        self._hostname = hostname
        self._runner: Any = None
        self._informs = logger.isEnabledFor(logging.INFO)

    def execute(self, lease: Lease) -> Outcome:
        """Resolve, decode, call, classify.  Never raises for what a task does."""
        started = self._clock.now()
        begun = self._clock.monotonic()
        task = self._tasks.get(lease.task)
        try:
            attempt = self._attempt(lease, task)
        except BaseException as error:  # a receiver, or an exception that cannot be asked
            attempt = _failed(describe(error), error)
        runtime = self._clock.monotonic() - begun
        plan = attempt.plan
        shown = None
        if self._informs and task is not None and attempt.state == states.SUCCESS:
            shown = repr_safely(attempt.value)[: task.resultrepr_maxsize]
        return Outcome(
            lease.seq, lease.token, lease.claim, attempt.state, attempt.result, started, runtime,
            attempt.eta, attempt.counted, attempt.body, attempt.failure,
            None if plan is None else plan.moves, shown,
        )  # fmt: skip

    def _attempt(self, lease: Lease, task: Task[..., Any] | None) -> Attempt:
        if task is None:
            return _failed(Failure("NotRegistered", f"no task {lease.task!r} in this worker"))
        try:
            context = arguments_of(lease.task, lease.id)
            given, named = self._codec.loads_arguments(lease.body, context=context)
            args, kwargs = self._app.types.fit(task.run, given, named)
        except (TypeError, ValueError, AttributeError) as error:
            if signals.task_rejected.receivers:
                self._tell_rejected(lease, error)
            kind = type(error).__name__
            return _failed(Failure(kind, clean(f"the arguments cannot be read: {error}")))
        request = request_for(
            lease, args, kwargs, self._hostname,
            trail=task.trail, ignore_result=bool(task.ignore_result),
        )  # fmt: skip
        try:
            request.check_options()
        except ValueError as error:
            return _failed(Failure("ValueError", clean(f"the options cannot be read: {error}")))
        attempt = self.run(task, request)
        if isinstance(attempt.value, Reject) and signals.task_rejected.receivers:
            self._tell_rejected(lease, attempt.value)
        return attempt

    def _tell_rejected(self, lease: Lease, error: BaseException) -> None:
        signals.task_rejected.send(sender=self._hostname, message=lease.body, exc=error)

    def run(self, task: Task[..., Any], request: Request) -> Attempt:
        """Run one attempt with its signals and hooks."""
        mark = current_request.set(request)
        try:
            return self._run(task, request)
        finally:
            current_request.reset(mark)

    def _run(self, task: Task[..., Any], request: Request) -> Attempt:
        id, args, kwargs = request.id, request.args, request.kwargs
        if signals.task_received.receivers:
            signals.task_received.send(sender=self._hostname, request=request)
        if signals.task_prerun.receivers:
            signals.task_prerun.send(sender=task, task_id=id, task=task, args=args, kwargs=kwargs)
        begun = self._clock.monotonic()
        attempt = self._call(task, request)
        attempt = self._conclude(attempt, task, request, runtime=self._clock.monotonic() - begun)
        if signals.task_postrun.receivers:
            signals.task_postrun.send(
                sender=task, task_id=id, task=task, args=args, kwargs=kwargs,
                retval=attempt.value, state=attempt.state,
            )  # fmt: skip
        return attempt

    def _call(self, task: Task[..., Any], request: Request) -> Attempt:
        try:
            if "before_start" in task.hooks:
                task.before_start(request.id, request.args, request.kwargs)
            # A task that overrides being called wants to be called, not run.
            function = task if "__call__" in task.hooks else task.run
            value = function(*request.args, **request.kwargs)
            if inspect.iscoroutine(value):
                value = self._await(value)
        except BaseException as error:
            return self._classify(error, task, request)
        if request.retry_plan is not None:  # of a retry(throw=False), or one that was swallowed
            return self._retry_as_planned(Retry(when=0.0), task, request)
        return self._succeeded(value, task, request)

    def _await(self, coroutine: Any) -> Any:
        """Run a coroutine on this process's event loop, which lives as long as the process."""
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:  # an eager call inside a coroutine
            return _in_a_thread(coroutine)
        if self._runner is None:
            self._runner = asyncio.Runner()
        # Else it would see the context of the first job for ever: its request, its app.
        return self._runner.run(coroutine, context=contextvars.copy_context())

    def close(self) -> None:
        """Close the event loop, if coroutines made one."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    # Verdicts

    def _succeeded(self, value: Any, task: Task[..., Any], request: Request) -> Attempt:
        if value is None or request.ignore_result:
            return Attempt(states.SUCCESS, value)
        try:
            result = self._codec.dumps(value, context=result_of(request.id))
        except LiteQueueError as error:
            return _failed(Failure("NotSerializable", clean(f"the return value is {error}")), error)
        size = len(result) if result.isascii() else len(result.encode())
        limit = self._conf.result_max_size
        if size > limit:
            words = f"the return value takes {size:,} bytes and result_max_size is {limit:,}"
            return _failed(Failure("ResultTooLarge", words), LiteQueueError(words))
        return Attempt(states.SUCCESS, value, result)

    def _classify(self, error: BaseException, task: Task[..., Any], request: Request) -> Attempt:
        """Say what an exception means for the job."""
        if isinstance(error, Ignore | Reject) and request.retry_plan is not None:
            return self._retry_as_planned(error, task, request)
        if isinstance(error, Ignore):
            return _as_shown(error, request)
        if isinstance(error, Reject):
            if error.requeue:
                return Attempt(states.RETRY, error, counted=False)
            return Attempt(states.REJECTED, error, failure=describe(error, "RejectedError"))
        if isinstance(error, Retry) or request.retry_plan is not None:
            return self._retry_as_planned(error, task, request)
        policy = task.retry_policy()
        limit = policy.max_retries if request.limit is None else request.limit
        if policy.wants(error) and not is_spent(request.retries, limit):
            wait = policy.countdown(request.retries)
            return Attempt(
                states.RETRY, error, failure=describe(error), eta=self._clock.now() + wait,
                retry=Retry(exc=error, when=wait),
            )  # fmt: skip
        expected = bool(task.throws) and isinstance(error, task.throws)
        return _failed(describe(error, expected=expected), error)

    def _retry_as_planned(
        self, error: BaseException, task: Task[..., Any], request: Request
    ) -> Attempt:
        plan = request.retry_plan
        retry = error if isinstance(error, Retry) else Retry(exc=error)
        reason = retry.exc or error
        failure = describe(reason, raised_as=error)
        if plan is None:  # the task raised Retry by itself
            policy = task.retry_policy()
            if is_spent(request.retries, policy.max_retries):
                return _failed(failure, reason)
            when = self._clock.now() + _wait(retry, task, self._clock.now())
            return Attempt(states.RETRY, reason, failure=failure, eta=when, retry=retry)
        body = None
        if plan.args is not None and plan.kwargs is not None:
            try:
                body = self._codec.dumps_arguments(
                    plan.args,
                    plan.kwargs,
                    limit=self._conf.task_max_arguments_size,
                    context=arguments_of(request.task, request.id),
                    serializer=task.serializer,
                    compression=task.compression,
                )
            except LiteQueueError as problem:
                return _failed(describe(problem), problem)
        return Attempt(
            states.RETRY, reason, failure=failure, eta=plan.when, plan=plan, body=body, retry=retry
        )

    def _conclude(
        self, attempt: Attempt, task: Task[..., Any], request: Request, *, runtime: float
    ) -> Attempt:
        """Call the hooks and send the signals of a verdict, before it is recorded."""
        trace = None if attempt.failure is None else attempt.failure.traceback
        if attempt.state == states.FAILURE and attempt.failure is not None:
            reason = hooks.asked_to_retry(task, request, attempt.value, trace)
            if reason is None:
                hooks.failed(task, request, attempt.value, trace)
            else:
                attempt = self._retry_as_planned(reason, task, request)
        if attempt.state == states.SUCCESS:
            hooks.succeeded(task, request, attempt.value, runtime=runtime)
        elif attempt.state == states.RETRY and attempt.counted:
            words = "" if attempt.failure is None else attempt.failure.traceback or ""
            hooks.retried(task, request, attempt.value, attempt.retry, words)
        if attempt.state in _NEEDS_AFTER_RETURN:
            hooks.returned(task, request, attempt.state, attempt.value)
        return attempt


def _in_a_thread(coroutine: Any) -> Any:
    """Run a coroutine while this thread's event loop stands in the middle of another one."""
    import asyncio
    import threading

    context = contextvars.copy_context()
    result: list[tuple[Any, BaseException | None]] = []

    def run() -> None:
        try:
            result.append((context.run(asyncio.run, coroutine), None))
        except BaseException as error:  # it is raised again where it is waited for
            result.append((None, error))

    thread = threading.Thread(target=run, name="litequeue-eager")
    thread.start()
    thread.join()
    value, error = result[0]
    if error is not None:
        raise error
    return value


def _wait(retry: Retry, task: Task[..., Any], now: float) -> float:
    """Return the seconds until a retry that the task raised by itself."""
    if retry.when is None:
        return float(task.default_retry_delay)
    if isinstance(retry.when, datetime):
        return max(0.0, (moment(retry.when) or now) - now)
    return float(retry.when)


def _as_shown(error: Ignore, request: Request) -> Attempt:
    """Return the verdict of a task that has said itself how it ends, by `update_state`."""
    if request.shown is None:
        return Attempt(states.IGNORED, error)
    state, meta, text = request.shown
    if state == states.FAILURE and isinstance(meta, Mapping) and "exc_type" in meta:
        module, name = meta.get("exc_module"), str(meta["exc_type"])
        given = meta.get("exc_message", "")
        args = list(given) if isinstance(given, list | tuple) else [given]
        failure = Failure(
            name if module in (None, "builtins") else f"{module}.{name}",
            " ".join(map(str, args)),
            args=dumps([str(each) for each in args]),
        )
        return Attempt(state, error, failure=failure)
    return Attempt(state, error, text)


def _failed(failure: Failure, error: BaseException | None = None) -> Attempt:
    value = error if error is not None else LiteQueueError(failure.message)
    return Attempt(states.FAILURE, value, failure=failure)
