"""One lease in, one outcome out.  Runs user code, decides, and writes nothing.

It does so in three steps, so that an event loop can await between them: `Executor.prepare` reads
what was asked, a call runs the user's function, `Executor.conclude` says what came of it.
"""

from __future__ import annotations

import contextvars
import gc
import inspect
import logging
from contextvars import Token
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Final

from litequeue import signals, states
from litequeue.clock import Clock
from litequeue.context import current_request
from litequeue.exceptions import (
    Reject,
    Retry,
    SoftTimeLimitExceeded,
    WorkerShutdown,
    WorkerTerminate,
)
from litequeue.interrupts import Guard, TaskGuard, drive
from litequeue.job import Failure, Lease, Outcome, bound_to
from litequeue.task import AsyncTask, Task
from litequeue.worker import hooks
from litequeue.worker.failure import clean, describe, forget_frames, repr_safely
from litequeue.worker.handover import handed_on
from litequeue.worker.request import Request, read_options, request_for
from litequeue.worker.verdict import Attempt, Verdicts, Workplace, failed

logger: Final = logging.getLogger("litequeue.worker")

_NEEDS_AFTER_RETURN: Final = frozenset({states.SUCCESS, states.FAILURE})
_NOTHING: Final = object()
Result = tuple[Any, BaseException | None]
"""What a call returned, and what it raised."""
SHUTDOWN: Final = "shutdown"
TERMINATE: Final = "terminate"


@dataclass(slots=True)
class Prepared:
    """A job about to run.  ``started`` is in epoch seconds, ``begun`` in monotonic ones."""

    lease: Lease
    task: Task[..., Any]
    request: Request
    started: float
    begun: float
    mark: Token[Any]


class Executor:
    """Runs leases of one app in this process.  ``hostname`` is the worker's name.

    ``guard`` interrupts user code at soft time limits.  ``stop_wanted`` says after a job that the
    worker is to stop because the task said so: "shutdown" or "terminate", with ``stop_code``.
    """

    def __init__(
        self, app: Workplace, clock: Clock, hostname: str, guard: Guard | None = None
    ) -> None:
        self._app = app
        self._tasks = app.tasks
        self._codec = app.codec
        self._verdicts = Verdicts(app, clock)
        self._clock = clock
        self._hostname = hostname
        self._guard = guard
        self._runner: Any = None
        self._informs = logger.isEnabledFor(logging.INFO)
        self.stop_wanted: str | None = None
        self.stop_code: int = 0

    def execute(self, lease: Lease) -> Outcome:
        """Resolve, decode, call, classify.  Never raises for what a task does."""
        prepared = self.prepare(lease)
        if isinstance(prepared, Outcome):
            return prepared
        value, error = _start(prepared.task, prepared.request, lease.token, self._guard)
        if isinstance(value, CoroutineType):
            value, error = self._await(value, lease.token)
        return self.conclude(prepared, value, error)

    async def execute_async(self, lease: Lease, guard: TaskGuard | None = None) -> Outcome:
        """Do as `execute` on the running loop: a coroutine is awaited, a function has a thread.

        Each call wants a context of its own (a task has one), and a guard if it is to be
        interrupted.  Raises CancelledError if its task is cancelled by somebody else.
        """
        prepared = self.prepare(lease)
        if isinstance(prepared, Outcome):
            return prepared
        value, error = await self._call_async(prepared, TaskGuard() if guard is None else guard)
        return self.conclude(prepared, value, error)

    # The three steps

    def prepare(self, lease: Lease) -> Prepared | Outcome:
        """Find the task, read the arguments, announce the job; or say at once how it ends.

        The request is the current one until `conclude` is called, in the same context.
        """
        started = self._clock.now()
        begun = self._clock.monotonic()
        task = self._tasks.get(lease.task)
        mark: Token[Any] | None = None
        if task is None:
            words = f"no task {lease.task!r} in this worker"
            attempt = failed(Failure("NotRegistered", words))
            return self._outcome(lease, None, attempt, started, begun)
        try:
            found = self._read(lease, task)
            if isinstance(found, Request):
                mark = current_request.set(found)
                if signals.task_received.receivers or signals.task_prerun.receivers:
                    self._announce(task, found)
                return Prepared(lease, task, found, started, begun, mark)
            attempt = found
        except BaseException as error:  # a receiver, or an exception that cannot be asked
            attempt = failed(describe(error), error)
            if mark is not None:
                current_request.reset(mark)
        return self._outcome(lease, task, attempt, started, begun)

    def conclude(self, prepared: Prepared, value: Any, error: BaseException | None) -> Outcome:
        """Say what a call came to, after its hooks and signals."""
        lease, task, request = prepared.lease, prepared.task, prepared.request
        try:
            attempt = self._end(task, request, value, error, prepared.begun)
            if error is not None and isinstance(attempt.value, Reject):
                self._tell_rejected(lease, attempt.value)
        except BaseException as problem:  # a receiver, or an exception that cannot be asked
            attempt = failed(describe(problem), problem)
        finally:
            current_request.reset(prepared.mark)
        if error is not None:
            forget_frames(error)
        if self._guard is not None and self._guard.has_raised:
            gc.collect()  # an sqlite3.Connection that nobody holds is closed, and rolled back, here
        return self._outcome(lease, task, attempt, prepared.started, prepared.begun)

    def run(self, task: Task[..., Any], request: Request) -> Attempt:
        """Run an attempt without a lease, with its signals and hooks."""
        mark = current_request.set(request)
        try:
            begun = self._clock.monotonic()
            self._announce(task, request)
            value, error = _start(task, request, 0, self._guard)
            if isinstance(value, CoroutineType):
                value, error = self._await(value, 0)
            return self._end(task, request, value, error, begun)
        finally:
            current_request.reset(mark)

    def close(self) -> None:
        """Close the event loop, if coroutines made one."""
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    # Before

    def _read(self, lease: Lease, task: Task[..., Any]) -> Request | Attempt:
        try:
            extras = None if lease.options is None else read_options(lease.options)
        except ValueError as error:
            return failed(Failure("ValueError", clean(f"the options cannot be read: {error}")))
        try:
            codec = self._codec
            context = bound_to(lease.task, lease.id, lease.options) if codec.binds else ""
            given, named = codec.loads_arguments(lease.body, context=context)
            if extras is not None:
                given = handed_on(extras, task, given, named, codec)
            args, kwargs = self._app.types.fit(task.run, given, named)
        except (TypeError, ValueError, AttributeError) as error:
            self._tell_rejected(lease, error)
            kind = type(error).__name__
            return failed(Failure(kind, clean(f"the arguments cannot be read: {error}")))
        return request_for(
            lease, args, kwargs, self._hostname,
            trail=task.trail, ignore_result=bool(task.ignore_result), extras=extras,
        )  # fmt: skip

    def _tell_rejected(self, lease: Lease, error: BaseException) -> None:
        if signals.task_rejected.receivers:
            signals.task_rejected.send(sender=self._hostname, message=lease.body, exc=error)

    def _announce(self, task: Task[..., Any], request: Request) -> None:
        if signals.task_received.receivers:
            signals.task_received.send(sender=self._hostname, request=request)
        if signals.task_prerun.receivers:
            signals.task_prerun.send(
                sender=task, task_id=request.id, task=task, args=request.args,
                kwargs=request.kwargs,
            )  # fmt: skip

    # The call: what it returned, and what it raised

    async def _call_async(self, prepared: Prepared, guard: TaskGuard) -> Result:
        import asyncio

        task, request, token = prepared.task, prepared.request, prepared.lease.token
        if _makes_coroutine(task):
            value, error = _start(task, request, token, None)
        else:
            value, error = await asyncio.to_thread(_start, task, request, token, guard.thread)
        if not isinstance(value, CoroutineType):
            return value, error
        guard.begin(token)
        try:
            return await drive(value, guard)
        finally:
            guard.end()

    def _await(self, coroutine: Any, token: int) -> Result:
        """Run a coroutine on this thread's event loop, which lives as long as the executor."""
        guard: Guard = TaskGuard() if self._guard is None else self._guard
        guard.begin(token, awaits=True)  # at once: a limit that comes meanwhile is remembered
        try:
            return self._run_in_loop(coroutine, guard)
        finally:
            guard.end()

    def _run_in_loop(self, coroutine: Any, guard: Guard) -> Result:
        import asyncio

        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:  # an eager call inside a coroutine
            return _in_a_thread(coroutine)
        if self._runner is None:
            self._runner = asyncio.Runner()
        try:
            # Else it would see the context of the first job for ever: its request, its app.
            context = contextvars.copy_context()
            result: Result = self._runner.run(drive(coroutine, guard), context=context)
        except asyncio.CancelledError as error:  # the task's own wish; its loop is well
            return None, error
        except BaseException as error:  # the loop itself was struck: nobody knows in what state
            guard.end()
            self._throw_loop_away()
            return None, error
        return result

    def _throw_loop_away(self) -> None:
        runner, self._runner = self._runner, None
        try:
            runner.close()
        except BaseException as error:
            logger.warning("the event loop of a coroutine could not be closed: %r", error)

    # After

    def _end(
        self,
        task: Task[..., Any],
        request: Request,
        value: Any,
        error: BaseException | None,
        begun: float,
    ) -> Attempt:
        """Decide, call the hooks, send the signals."""
        if error is not None:
            attempt = self._verdicts.of_error(error, task, request)
            if isinstance(error, WorkerShutdown | WorkerTerminate):
                self._note_leaving(error)
        elif request.retry_plan is not None:  # of a retry(throw=False), or one that was swallowed
            attempt = self._verdicts.of_retry(Retry(when=0.0), task, request)
        else:
            attempt = self._verdicts.of_value(value, request)
        if attempt.state != states.SUCCESS or task.hooks or signals.task_success.receivers:
            runtime = self._clock.monotonic() - begun
            attempt = self._tell(attempt, task, request, runtime=runtime)
        if signals.task_postrun.receivers:
            signals.task_postrun.send(
                sender=task, task_id=request.id, task=task, args=request.args,
                kwargs=request.kwargs, retval=attempt.value, state=attempt.state,
            )  # fmt: skip
        return attempt

    def _note_leaving(self, error: SystemExit) -> None:
        self.stop_wanted = SHUTDOWN if isinstance(error, WorkerShutdown) else TERMINATE
        self.stop_code = error.code if isinstance(error.code, int) else int(error.code is not None)

    def _tell(
        self, attempt: Attempt, task: Task[..., Any], request: Request, *, runtime: float
    ) -> Attempt:
        """Call the hooks and send the signals of a verdict, before it is recorded."""
        trace = None if attempt.failure is None else attempt.failure.traceback
        if attempt.state == states.FAILURE and attempt.failure is not None:
            reason = hooks.asked_to_retry(task, request, attempt.value, trace)
            if reason is None:
                hooks.failed(task, request, attempt.value, trace)
            else:
                attempt = self._verdicts.of_retry(reason, task, request)
        if attempt.state == states.SUCCESS:
            hooks.succeeded(task, request, attempt.value, runtime=runtime)
        elif attempt.state == states.RETRY and attempt.counted:
            words = "" if attempt.failure is None else attempt.failure.traceback or ""
            hooks.retried(task, request, attempt.value, attempt.retry, words)
        if attempt.state in _NEEDS_AFTER_RETURN:
            hooks.returned(task, request, attempt.state, attempt.value)
        return attempt

    def _outcome(
        self,
        lease: Lease,
        task: Task[..., Any] | None,
        attempt: Attempt,
        started: float,
        begun: float,
    ) -> Outcome:
        plan = attempt.plan
        shown = None
        if self._informs and task is not None and attempt.state == states.SUCCESS:
            shown = repr_safely(attempt.value)[: task.resultrepr_maxsize]
        return Outcome(
            lease.seq, lease.token, lease.claim, attempt.state, attempt.result, started,
            self._clock.monotonic() - begun, attempt.eta, attempt.counted, attempt.body,
            attempt.failure, None if plan is None else plan.moves, shown, sequel=attempt.sequel,
        )  # fmt: skip


def _makes_coroutine(task: Task[..., Any]) -> bool:
    """Tell whether calling the task runs nothing yet, so that it needs no thread."""
    call = type(task).__call__
    is_ours = call in (Task.__call__, AsyncTask.__call__)
    return inspect.iscoroutinefunction(task.run if is_ours else call)


def _start(task: Task[..., Any], request: Request, token: int, guard: Guard | None) -> Result:
    """Run the user's function; of a coroutine only make it."""
    value: Any = _NOTHING
    error: BaseException | None = None
    # Between the function's end and the guard's no user code runs, but the guard does not know.
    try:
        try:
            if guard is not None:
                guard.begin(token)
            if "before_start" in task.hooks:
                task.before_start(request.id, request.args, request.kwargs)
            # A task that overrides being called wants to be called, not run.
            function = task if "__call__" in task.hooks else task.run
            value = function(*request.args, **request.kwargs)
        except BaseException as problem:
            error = problem
        if guard is not None:
            guard.end()
    except SoftTimeLimitExceeded as late:
        if guard is not None:
            guard.end()
        if value is _NOTHING and error is None:
            error = late
    return value, error


def _in_a_thread(coroutine: Any) -> Result:
    """Run a coroutine while this thread's event loop stands in the middle of another one."""
    import asyncio
    import threading

    context = contextvars.copy_context()
    result: list[Result] = []

    def run() -> None:
        try:
            result.append((context.run(asyncio.run, coroutine), None))
        except BaseException as error:  # that is what it came to
            result.append((None, error))

    thread = threading.Thread(target=run, name="litequeue-eager")
    thread.start()
    thread.join()
    return result[0]
