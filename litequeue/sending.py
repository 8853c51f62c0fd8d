"""From a call to a job in the file: options, route, payload, signals, one commit."""

from __future__ import annotations

import contextlib
import inspect
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Final, Protocol

from litequeue import signals
from litequeue.calling import (
    AS_REGISTERED,
    CallOptions,
    arguments_given,
    check_name,
    check_priority,
    ending,
)
from litequeue.clock import Clock
from litequeue.config import Settings
from litequeue.context import current_request
from litequeue.exceptions import ImproperlyConfigured
from litequeue.job import Job, bound_to, new_id
from litequeue.result import AsyncResult
from litequeue.retry import patience
from litequeue.routing import Router
from litequeue.serialization import Codec, dumps
from litequeue.task import Task

if TYPE_CHECKING:
    from litequeue.facts import AppFacts
    from litequeue.store import Store
    from litequeue.store.events import EventRow

logger: Final = logging.getLogger("litequeue")

_OPTIONS: Final = (
    "queue", "exchange", "routing_key", "priority", "serializer", "compression", "ignore_result",
)  # fmt: skip
"""Options that a call, a task (in this order) and a route may give."""
_SIGNATURE_LIMIT: Final = 500


class App(Protocol):
    """What sending needs of an app."""

    conf: Settings
    clock: Clock
    introduced: bool

    @property
    def store(self) -> Store:
        """The file."""

    @property
    def codec(self) -> Codec:
        """What makes text of arguments."""

    @property
    def router(self) -> Router:
        """What chooses the queue."""

    @property
    def zone(self) -> tzinfo | None:
        """Where datetimes without a zone are meant."""

    def facts(self) -> AppFacts:
        """Describe the app."""


def send(
    app: App,
    task: Task[Any, Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    options: CallOptions,
) -> AsyncResult[Any]:
    """Accept one call as a job.  `Task.delay` says what is raised."""
    now = app.clock.now()
    job = make_job(app, task, args, kwargs, options, id=options.id or new_id(now), now=now)
    if signals.before_task_publish.receivers:
        job = announce(job, task, args, kwargs)
    introduced(app).enqueue(
        job,
        wait=options.patience if options.patience is not None else _patience(app),
        event=sent(job, now) if app.conf.task_send_sent_event and task.send_events else None,
    )
    if signals.after_task_publish.receivers:
        published(job, task, args, kwargs)
    result: AsyncResult[Any] = AsyncResult(job.id, app=app)
    if task.ignore_result or options.ignore_result is not None:
        own = options.ignore_result
        result.ignored = bool(task.ignore_result if own is None else own)
    return result


def checked_call(
    task: Task[Any, Any], args: object, kwargs: object = None
) -> tuple[Task[Any, Any], tuple[Any, ...], dict[str, Any]]:
    """Return one call of many; raises TypeError for arguments that the task does not take."""
    given, named = arguments_given(args, kwargs)
    if task.typing:
        task.check_arguments(given, named)
    return task, given, named


def send_many(
    app: App,
    calls: Sequence[tuple[Task[Any, Any], tuple[Any, ...], dict[str, Any]]],
    ids: Sequence[str],
    options: CallOptions,
) -> list[AsyncResult[Any]]:
    """Accept all ``calls`` in one transaction, or none; the publish signals are not sent."""
    now = app.clock.now()
    maker = Maker(app, AS_REGISTERED if options == AS_REGISTERED else options, now)
    jobs = [
        maker.make(task, args, kwargs, id=id)
        for id, (task, args, kwargs) in zip(ids, calls, strict=True)
    ]
    happened = []
    if app.conf.task_send_sent_event:
        told = zip(jobs, calls, strict=True)
        happened = [sent(job, now) for job, (task, _, _) in told if task.send_events]
    introduced(app).enqueue_many(jobs, happened=happened)
    return [AsyncResult(id, app=app) for id in ids]


def sent(job: Job, now: float) -> EventRow:
    """Return the event "task-sent"."""
    from litequeue.events.rows import sent

    return sent(job, now)


def introduced(app: App) -> Store:
    """Return the file, which is told of the app along with its first job."""
    if not app.introduced:
        app.introduced = True
        app.store.introduce(app.facts())
    return app.store


def _patience(app: App) -> float | None:
    """Return the seconds that `task_publish_retry` and its policy leave for other writers."""
    conf = app.conf
    if conf.task_publish_retry and conf.task_publish_retry_policy is None:
        return None
    return patience(conf.task_publish_retry, conf.task_publish_retry_policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job stands in a workflow: the ids of the job before it, and of the first of all.

    ``countdown`` is in seconds from when it could begin.  ``is_needed``: others wait for its
    result.  To an errback, or a body, that ``is_immutable`` nothing is given.
    """

    parent: str | None = None
    root: str | None = None
    countdown: float | None = None
    is_immutable: bool = False
    is_needed: bool = False

    def extras(self, extras: dict[str, Any], *, is_ignored: bool) -> dict[str, Any]:
        """Return ``extras`` with what a step needs beside them."""
        if self.root is not None:
            extras.setdefault("root", self.root)
        if self.countdown is not None:
            extras["countdown"] = self.countdown
        if self.is_immutable:
            extras["immutable"] = True
        if self.is_needed and (is_ignored or extras.get("ignore_result")):
            extras["ignore_result"] = False
        return extras


NOWHERE: Final = Place()


def make_job(
    app: App,
    task: Task[Any, Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    options: CallOptions,
    *,
    id: str,
    now: float,
    place: Place = NOWHERE,
) -> Job:
    """Make the job of a call, without storing it; ``place`` is that of a step of a workflow."""
    return Maker(app, options, now).make(task, args, kwargs, id=id, place=place)


class Maker:
    """Makes the jobs of calls that have the same options."""

    def __init__(self, app: App, options: CallOptions, now: float) -> None:
        self._app, self._options, self._now = app, options, now
        self._codec, self._router = app.codec, app.router
        self._request = request = current_request.get()
        is_child = request is not None and options.add_to_parent and request.trail
        self._parent = request if is_child else None
        # Of the call before: most calls are of one task.
        self._task: Task[Any, Any] | None = None
        self._given: dict[str, Any] = {}
        self._queue: str | None = None

    def make(
        self,
        task: Task[Any, Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        id: str,
        place: Place = NOWHERE,
    ) -> Job:
        """Make the job of a call, as `make_job` does."""
        name, conf, options, parent = task.name, self._app.conf, self._options, self._parent
        if name.startswith("__main__."):
            raise ImproperlyConfigured(
                f"{name} is defined in an interactive session, which no worker can import; "
                "put it into a file"
            )
        if task is not self._task:
            self._task, self._given = task, _given(task, options)
        chosen = self._router.route(name, args, kwargs, self._given, task=task)
        queue, priority = chosen["queue"], chosen.get("priority")
        if queue != self._queue:
            check_name("queue", queue)
            self._queue = queue
        if priority is None:
            priority = conf.task_default_priority
            if conf.task_inherit_parent_priority and self._request is not None:
                priority = self._request.priority
        else:
            check_priority(priority)
        expires = options.expires
        if expires is None:
            soon = chosen.get("expires") if task.expires is None else task.expires
            expires = None if soon is None else ending(soon, self._now, self._app.zone)
        extras = _extras(task, options, chosen, parent, place)
        codec = self._codec
        body = codec.dumps_arguments(
            args, kwargs, limit=conf.task_max_arguments_size,
            context=bound_to(name, id, extras) if codec.binds else "",
            serializer=chosen.get("serializer"), compression=chosen.get("compression"),
        )  # fmt: skip
        before = place.parent or (None if parent is None else parent.id)
        return Job(id, name, body, queue, priority, options.eta, expires, extras, before)


def _given(task: Task[Any, Any], options: CallOptions) -> dict[str, Any]:
    """Return the options that the call or, where it is silent, its task has."""
    given = {}
    for name in _OPTIONS:
        value = getattr(options, name)
        if value is None:
            value = getattr(task, name) if name != "ignore_result" else None
        if value is not None:
            given[name] = value
    return given


def _extras(
    task: Task[Any, Any],
    options: CallOptions,
    chosen: Mapping[str, Any],
    parent: Any,
    place: Place,
) -> str | None:
    """Return what few jobs have, as JSON; None for most."""
    if (
        options is AS_REGISTERED
        and parent is None
        and place is NOWHERE
        and "ignore_result" not in chosen
    ):
        return None
    extras: dict[str, Any] = {}
    if options.entry is not None:
        extras["entry"] = options.entry
    if options.headers:
        extras["headers"] = dict(options.headers)
    if options.shadow:
        extras["shadow"] = options.shadow
    if options.time_limit is not None or options.soft_time_limit is not None:
        extras["timelimit"] = [options.time_limit, options.soft_time_limit]
    if options.stamps:
        extras["stamps"] = dict(options.stamps)
    if chosen.get("ignore_result") is not None:
        extras["ignore_result"] = bool(chosen["ignore_result"])
    if parent is not None:
        extras["root"] = parent.root_id
    if place is not NOWHERE:
        extras = place.extras(extras, is_ignored=bool(task.ignore_result))
    return dumps(extras) if extras else None


def _headers(job: Job, task: Task[Any, Any]) -> dict[str, Any]:
    """Return a job as the headers of Celery's message (protocol 2)."""
    extras = json.loads(job.options) if job.options else {}
    hard, soft = extras.get("timelimit", (None, None))
    stamps = extras.get("stamps", {})
    return {
        "lang": "py", "task": job.task, "id": job.id, "root_id": extras.get("root", job.id),
        "parent_id": job.parent, "group": None, "shadow": extras.get("shadow"), "eta": job.eta,
        "expires": job.expires, "retries": 0,
        "timelimit": [hard or task.time_limit, soft or task.soft_time_limit],
        "ignore_result": extras.get("ignore_result", False),
        "stamped_headers": [*stamps], "stamps": stamps, **extras.get("headers", {}),
    }  # fmt: skip


def published(
    job: Job, task: Task[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> None:
    """Send `after_task_publish`."""
    signals.after_task_publish.send(
        sender=job.task, body=(args, kwargs, {}), headers=_headers(job, task),
        exchange="", routing_key=job.queue,
    )  # fmt: skip


def announce(job: Job, task: Task[Any, Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Job:
    """Send `before_task_publish`; headers that a receiver adds travel with the job."""
    headers = _headers(job, task)
    before = dict(headers)
    signals.before_task_publish.send(
        sender=job.task, body=(args, kwargs, {}), headers=headers, exchange="",
        routing_key=job.queue, declare=[], retry_policy=None,
        properties={"correlation_id": job.id, "priority": job.priority},
    )  # fmt: skip
    extras = json.loads(job.options or "{}")
    own = extras.get("headers", {})
    added = {
        name: value
        for name, value in headers.items()
        if name not in before or (name in own and value != before[name])
    }
    if not added:
        return job
    return replace(job, options=dumps({**extras, "headers": {**own, **added}}))


# A task that is known by its name only


def stranger(app: App, name: str) -> Task[..., Any]:
    """Return a task for a name that this app has not registered: a worker's app has."""
    check_name("the name of a task", name)
    task = Task[..., Any]()
    task.name = name
    task.app = app
    task.typing = False
    return task


_for_real: ContextVar[bool] = ContextVar("litequeue_for_real", default=False)


@contextlib.contextmanager
def for_real() -> Iterator[None]:
    """Enqueue in this block even where `task_always_eager` is set."""
    mark = _for_real.set(True)
    try:
        yield
    finally:
        _for_real.reset(mark)


def is_eager(conf: Settings) -> bool:
    """Tell whether calls run here and now (`task_always_eager`)."""
    return conf.task_always_eager and not _for_real.get()


# For people who look into the file


def signature_of(task: Task[..., Any]) -> str:
    """Return a task's signature as text, as "(x: int, y: int) -> int"."""
    try:
        return str(inspect.signature(task.run))[:_SIGNATURE_LIMIT]
    except Exception:  # it shows the defaults, by the user's own __repr__
        return "(...)"


def summary_of(task: Task[..., Any]) -> str:
    """Return the first line of a task's docstring."""
    kind = type(task)
    text = kind.__doc__ if "__doc__" in vars(kind) else None
    lines = inspect.cleandoc(text).splitlines() if isinstance(text, str) else []
    return lines[0][:_SIGNATURE_LIMIT] if lines else ""
