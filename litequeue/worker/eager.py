"""`Task.apply`: a job without a queue, run here and now by the worker's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litequeue import states
from litequeue.calling import CallOptions, Eagerly
from litequeue.context import current_request, working_for
from litequeue.exceptions import Reject, SoftTimeLimitExceeded
from litequeue.interrupts import is_guarded
from litequeue.job import Job, Outcome
from litequeue.result import EagerResult
from litequeue.sending import make_job
from litequeue.serialization import dumps
from litequeue.task import Task
from litequeue.worker.executor import Executor
from litequeue.worker.request import Request
from litequeue.worker.verdict import Attempt

HOSTNAME: Final = "(eager)"


def apply(
    app: Any,
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: Eagerly,
    *,
    id: str,
) -> EagerResult[Any]:
    """Run a call, its retries at once after each other; return what became of it.

    Raises what the task raised if ``options.throw``, or else `task_eager_propagates`, says so.
    """
    executor = Executor(app, app.clock, HOSTNAME)
    try:
        return _run(app, executor, task, list(args), dict(kwargs), options, id)
    finally:
        executor.close()


def _run(
    app: Any,
    executor: Executor,
    task: Task[Any, Any],
    given: list[Any],
    named: dict[str, Any],
    options: Eagerly,
    id: str,
) -> EagerResult[Any]:
    parent = current_request.get()
    extras: dict[str, Any] = {"headers": dict(options.headers)} if options.headers else {}
    if options.stamps:
        extras["stamps"] = {  # lists, as in Celery
            name: value if isinstance(value, list) else [value]
            for name, value in options.stamps.items()
        }
    if parent is not None:
        extras["root"] = parent.root_id
    retries = options.retries
    remembered: dict[str, str] | None = None
    while True:
        request = Request(
            id=id, task=task.name, args=given, kwargs=named, retries=retries, claim=retries + 1,
            hostname=HOSTNAME, queue="", priority=0, token=None, due=None, ends=None,
            parent_id=None if parent is None else parent.id,
            options=dumps(extras) if extras else None, trail=task.trail, is_eager=True,
            ignores=bool(task.ignore_result), time_limit=task.time_limit,
            soft_time_limit=task.soft_time_limit, remembered=remembered,
        )  # fmt: skip
        started = app.clock.now()
        job = _job(app, task, request, started)
        with working_for(app):
            attempt = executor.run(task, request)
        if _is_not_its_own(attempt.value):
            raise attempt.value
        if isinstance(attempt.value, Reject):  # there is no queue to go back to
            attempt.state = states.REJECTED
        if attempt.state != states.RETRY:
            if job is not None:
                _store(app, job, request, attempt, started)
            return _result(app, task, id, attempt, options.throw)
        plan = attempt.plan
        if plan is not None and plan.args is not None:
            given = list(plan.args)
        if plan is not None and plan.kwargs is not None:
            named = dict(plan.kwargs)
        retries, remembered = retries + int(attempt.counted), request.remembered


def _is_not_its_own(value: object) -> bool:
    """Tell whether an exception is meant for whoever called: Ctrl-C, an exit, his time limit."""
    if isinstance(value, SoftTimeLimitExceeded):  # a job without a queue has none
        return is_guarded()
    return isinstance(value, BaseException) and not isinstance(value, Exception)


def _job(app: Any, task: Task[Any, Any], request: Request, now: float) -> Job | None:
    """Return the job to store the verdict of, None where none is (`task_store_eager_result`).

    It is made before the task runs: what cannot be stored is refused first.
    """
    if not app.conf.task_store_eager_result or task.ignore_result:
        return None
    options = CallOptions(headers=request.headers or None)
    return make_job(app, task, request.args, request.kwargs, options, id=request.id, now=now)


def _store(app: Any, job: Job, request: Request, attempt: Attempt, started: float) -> None:
    """Keep the verdict in the file, as of a job that a worker ran."""
    outcome = Outcome(
        0, 0, 1, attempt.state, attempt.result, started, app.clock.now() - started,
        failure=attempt.failure,
    )  # fmt: skip
    app.store.add_ended(job, outcome, retries=request.retries)


def _result(
    app: Any, task: Task[Any, Any], id: str, attempt: Attempt, throw: bool | None
) -> EagerResult[Any]:
    raises = app.conf.task_eager_propagates if throw is None else throw
    if (
        raises
        and attempt.state in states.PROPAGATE_STATES
        and isinstance(attempt.value, BaseException)
    ):
        raise attempt.value
    failure = attempt.failure
    return EagerResult(
        id, attempt.value, attempt.state,
        traceback=None if failure is None else failure.traceback, name=task.name,
    )  # fmt: skip
