"""`Task.apply`: a job without a queue, run here and now by the worker's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litequeue import states
from litequeue.calling import CallOptions
from litequeue.context import current_request, working_for
from litequeue.job import Outcome
from litequeue.result import EagerResult
from litequeue.sending import make_job
from litequeue.serialization import dumps
from litequeue.task import Eagerly, Task
from litequeue.worker.executor import Attempt, Executor
from litequeue.worker.request import Request

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
    parent = current_request.get()
    extras: dict[str, Any] = {"headers": dict(options.headers)} if options.headers else {}
    if parent is not None:
        extras["root"] = parent.root_id
    retries = options.retries
    given, named = list(args), dict(kwargs)
    while True:
        request = Request(
            id=id, task=task.name, args=given, kwargs=named, retries=retries, claim=retries + 1,
            hostname=HOSTNAME, queue="", priority=0, token=None, due=None, ends=None,
            parent_id=None if parent is None else parent.id,
            options=dumps(extras) if extras else None, trail=task.trail, is_eager=True,
        )  # fmt: skip
        started = app.clock.now()
        with working_for(app):
            attempt = executor.run(task, request)
        if attempt.state != states.RETRY:
            if app.conf.task_store_eager_result and not task.ignore_result:
                _store(app, task, request, attempt, started)
            return _result(app, task, id, attempt, options.throw)
        plan = attempt.plan
        if plan is not None and plan.args is not None:
            given = list(plan.args)
        if plan is not None and plan.kwargs is not None:
            named = dict(plan.kwargs)
        retries += int(attempt.counted)


def _store(
    app: Any, task: Task[Any, Any], request: Request, attempt: Attempt, started: float
) -> None:
    """Keep the verdict in the file, as of a job that a worker ran (`task_store_eager_result`)."""
    now = app.clock.now()
    job = make_job(
        app, task, request.args, request.kwargs, CallOptions(headers=request.headers or None),
        id=request.id, now=started,
    )  # fmt: skip
    outcome = Outcome(
        0, 0, 1, attempt.state, attempt.result, started, now - started, failure=attempt.failure
    )
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
