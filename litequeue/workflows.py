"""From a canvas to its jobs in the file: each step as its task would be called, in one plan."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from litequeue import sending, signals
from litequeue.bounds import MAX_NAME
from litequeue.calling import CallOptions, check_name, starting
from litequeue.canvas.linking import many, without
from litequeue.canvas.nesting import bounded
from litequeue.canvas.plan import Kin, plan
from litequeue.canvas.signatures import Signature
from litequeue.context import Planned, planning, refuse_at_import
from litequeue.exceptions import ImproperlyConfigured, NotRegistered
from litequeue.flow import MOST_STEPS, Plan
from litequeue.job import Job, new_ids
from litequeue.result import AsyncResult
from litequeue.result.group_result import GroupResult
from litequeue.task import Task

if TYPE_CHECKING:
    from litequeue.store.events import EventRow

_OF_CANVAS: Final = (
    "chain", "chord", "group_id", "group_index", "link", "link_error", "parent_id", "policy",
    "replaced_task_nesting", "reply_to", "root_id", "task_id",
)  # fmt: skip
"""Options of a signature that its place in the plan stands for."""
_IDS_AT_ONCE: Final = 500
LONGEST_NAME: Final = MAX_NAME - len(".9999999999")
"""Bytes of a workflow's name: the ids of its steps have a number behind it."""


def send(
    app: Any,
    canvas: Signature[Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: Mapping[str, Any],
) -> AsyncResult[Any] | GroupResult[Any]:
    """Accept all jobs of a workflow; return the handle on its result, or on its group.

    ``args``, ``kwargs`` and ``options`` are for what runs first; the options ``link`` and
    ``link_error`` for the whole.  Members of a group that a generator makes are made while they are
    stored, some thousands per transaction; all else is stored in one.  Raises as `Task.delay` does,
    ValueError for a chain of nothing and a chord without a body, TypeError for a step that does not
    take its arguments together with the results it will get.
    """
    refuse_at_import("apply_async()")
    app.finalize()
    canvas, how = _linked(canvas, options)
    if sending.is_eager(app.conf):
        ran: AsyncResult[Any] | GroupResult[Any] = canvas.apply(args, kwargs, **how)
        return ran
    named = options.get("task_id")
    making = _Making(app, named)
    planned = plan(
        canvas, making.job, making.next_id, args=args, kwargs=kwargs, options=how, task_id=named
    )
    sending.introduced(app).add_workflow(planned, happened=making.happened)
    making.announce()
    if planned.group is not None:
        return GroupResult[Any](planned.group, app=app)
    return AsyncResult[Any](planned.result, app=app)


def send_linked(
    app: Any,
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    call: CallOptions,
) -> AsyncResult[Any]:
    """Accept one call with the jobs that are linked to it."""
    making = _Making(app, call.id, head=(args, kwargs, call))
    head = Signature(task, args, kwargs, link=call.link, link_error=call.link_error, app=app)
    with bounded(head):
        planned = plan(head, making.job, making.next_id, task_id=call.id)
        sending.introduced(app).add_workflow(planned, happened=making.happened, wait=call.patience)
    making.announce()
    return AsyncResult(planned.result, app=app)


def plan_for(
    app: Any,
    canvas: Signature[Any],
    *,
    task_id: str | None = None,
    member_of: str | None = None,
    is_needed: bool = False,
) -> Plan:
    """Return the plan of a workflow that a running job hands on, all of it in memory.

    Its result has the id ``task_id``, or is a member of the group ``member_of``; if it
    ``is_needed`` it is kept, whatever its task says of results.  Raises as `send`, and ValueError
    for more than `litequeue.flow.MOST_STEPS` jobs.
    """
    app.finalize()
    making = _Making(app)
    with bounded(canvas):
        planned = plan(
            canvas, making.job, making.next_id, task_id=task_id, member_of=member_of,
            is_needed=is_needed,
        )  # fmt: skip
        steps = [*islice(planned.steps, MOST_STEPS + 1)]
    if len(steps) > MOST_STEPS:
        raise ValueError(
            f"a job can hand on at most {MOST_STEPS:,} jobs with its own end; "
            "send a larger workflow by itself, with apply_async()"
        )
    return replace(
        planned, steps=tuple(steps), edges=tuple(planned.edges), fanins=tuple(planned.fanins)
    )


def _linked(
    canvas: Signature[Any], options: Mapping[str, Any]
) -> tuple[Signature[Any], dict[str, Any]]:
    """Return the canvas with what the call links to it, and the other options."""
    if options.get("idempotency_key") is not None:
        raise ImproperlyConfigured(
            "idempotency_key is for one job, and this is a workflow; give it a task_id instead"
        )
    how = {name: value for name, value in options.items() if name not in _OF_CANVAS}
    callbacks, errbacks = options.get("link"), options.get("link_error")
    if callbacks or errbacks:
        canvas = canvas.clone()
        for callback in many(callbacks):
            canvas.link(callback)
        for errback in many(errbacks):
            canvas.link_error(errback)
    return canvas, how


class _Making:
    """Makes jobs of signatures, with the options of their tasks, and remembers whom to tell.

    In a workflow that is ``named`` the ids are made of that name: the same call is the same jobs,
    so whoever was cut off while he sent it may send it again.  ``head`` is the call of the first.
    """

    def __init__(self, app: Any, named: str | None = None, head: Any = None) -> None:
        self.happened: list[EventRow] = []
        self._app = app
        check_name("task_id", named)
        if named is not None and len(named.encode()) > LONGEST_NAME:
            raise ImproperlyConfigured(
                f"the task_id of a workflow, of which those of its steps are made, has at most "
                f"{LONGEST_NAME} bytes, and {named!r:.50} has more"
            )
        self._named = named
        self._made = 0
        self._head = head
        self._ids: deque[str] = deque()
        self._tells_sent: bool = app.conf.task_send_sent_event
        self._published: list[Callable[[], object]] = []

    def next_id(self) -> str:
        """Return the id of a further step; they grow."""
        if self._named is not None:
            self._made += 1
            return f"{self._named}.{self._made}"
        if not self._ids:
            self._ids.extend(new_ids(self._app.clock.now(), _IDS_AT_ONCE))
        return self._ids.popleft()

    def job(self, sig: Signature[Any], id: str, kin: Kin) -> Job:
        """Make the job of a step, as the ``apply_async`` of its task asks for it."""
        app, now = self._app, self._app.clock.now()
        options = without(sig.options, *_OF_CANVAS) if sig.options else {}
        countdown = options.pop("countdown", None) if kin.waits else None
        starting(None, countdown, now, app.zone)  # it raises for what is no time to wait
        task = _task_of(app, sig)
        if self._head is not None and not kin.waits:
            args, kwargs, call = self._head
        else:
            args, kwargs, call = _asked(task, sig, id, options, kin.given)
        place = sending.NOWHERE
        if kin.waits or (kin.is_needed and (task.ignore_result or call.ignore_result)):
            place = sending.Place(
                parent=kin.parent, root=kin.root, countdown=countdown, is_needed=kin.is_needed,
                is_immutable=(kin.is_errback or kin.gathers) and bool(sig.immutable),
            )  # fmt: skip
        job = sending.make_job(app, task, args, kwargs, call, id=id, now=now, place=place)
        if signals.before_task_publish.receivers:
            job = sending.announce(job, task, args, kwargs)
        if self._tells_sent and task.send_events:
            self.happened.append(sending.sent(job, now))
        if signals.after_task_publish.receivers:
            self._published.append(lambda: sending.published(job, task, args, kwargs))
        return job

    def announce(self) -> None:
        """Send `after_task_publish` for each job."""
        for tell in self._published:
            tell()


def _asked(
    task: Any, sig: Signature[Any], id: str, options: Mapping[str, Any], given: int | None
) -> tuple[tuple[Any, ...], dict[str, Any], CallOptions]:
    """Return the call that the task's own ``apply_async`` makes of a signature."""
    planned = Planned(task, given)
    mark = planning.set(planned)
    try:
        if options:
            task.apply_async(tuple(sig.args or ()), dict(sig.kwargs or {}), id, **options)
        else:
            task.delay(*(sig.args or ()), **(sig.kwargs or {}))
    finally:
        planning.reset(mark)
    if planned.made is None:
        raise ImproperlyConfigured(
            f"the apply_async() of {task.name} sends no job of it, so no workflow can wait for it"
        )
    made: tuple[tuple[Any, ...], dict[str, Any], CallOptions] = planned.made
    return made


def _task_of(app: Any, sig: Signature[Any]) -> Any:
    try:
        task = sig.type
    except NotRegistered:
        return sending.stranger(app, sig.task)
    return task if task.app is app else app.tasks.get(sig.task) or sending.stranger(app, sig.task)
