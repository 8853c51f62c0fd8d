"""`Request`: a job while it runs, what a task sees as ``self.request``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from litequeue import states
from litequeue.context import current_app
from litequeue.flow import Plan
from litequeue.job import Lease, entry_of

_NOT_HERE: Final = dict.fromkeys(
    [
        "callbacks",
        "chain",
        "chord",
        "errbacks",
        "group_index",
        "logfile",
        "loglevel",
        "reply_to",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """When the next attempt is due (epoch seconds), and what is to be different then."""

    when: float
    args: tuple[Any, ...] | None = None
    kwargs: dict[str, Any] | None = None
    queue: str | None = None
    priority: int | None = None
    expires: float | None = None

    @property
    def moves(self) -> tuple[str | None, int | None, float | None] | None:
        """Return the new queue, priority and expiry, None when all stay as they are."""
        moves = (self.queue, self.priority, self.expires)
        return None if moves == (None, None, None) else moves


@dataclass(slots=True)
class Request:
    """The running job; Celery's names.

    ``claim`` grows with every attempt: an outside system can refuse a stale one by it.
    ``trail`` tells whether jobs that it sends are remembered as its children.  ``limit`` is the
    ``max_retries`` of a call of `Task.retry`, which holds for automatic retries, too.  The time
    limits are in seconds; ``once`` says that the job was acknowledged before it ran.
    ``plans`` are the workflows that begin with the commit of its end; if it ``is_replaced``, the
    first of them goes on in its place.  ``remembered`` are the results of steps that former
    attempts have done, by their names; ``stepped`` the names that this one has used.
    """

    id: str
    task: str
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    retries: int
    claim: int
    hostname: str
    queue: str
    priority: int
    token: int | None
    due: float | None
    ends: float | None
    parent_id: str | None
    options: str | None = None
    trail: bool = True
    ignores: bool = False
    soft_time_limit: float | None = None
    time_limit: float | None = None
    once: int = 0
    _deaths: int = 0
    is_eager: bool = False
    retry_plan: RetryPlan | None = None
    limit: int | None = None
    shown: tuple[str, Any, str | None] | None = None
    plans: list[Plan] = field(default_factory=list)
    is_replaced: bool = False
    remembered: dict[str, str] | None = None
    stepped: set[str] | None = None
    called_directly: bool = False
    utc: bool = True
    _extras: dict[str, Any] | None = None

    @property
    def extras(self) -> dict[str, Any]:
        """What few jobs have."""
        if self._extras is None:
            self._extras = {} if self.options is None else read_options(self.options)
        return self._extras

    @property
    def headers(self) -> dict[str, Any]:
        """The headers that the job was sent with."""
        headers: dict[str, Any] = self.extras.get("headers", {})
        return headers

    @property
    def root_id(self) -> str:
        """The first job of the family: the one that had no parent."""
        return str(self.extras.get("root", self.id))

    @property
    def entry(self) -> str | None:
        """The line of beat that sent it, None for what was sent by a call."""
        return entry_of(self.options)

    @property
    def tick(self) -> datetime | None:
        """When beat's schedule was due, in UTC: the moment to work for, however late it is now."""
        at = self.extras.get("tick")
        return datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else None

    @property
    def shadow(self) -> str | None:
        """The name to show instead of the task's."""
        shadow: str | None = self.extras.get("shadow")
        return shadow

    @property
    def ignore_result(self) -> bool:
        """Whether this call, or else its task, keeps no result."""
        if self.options is None:
            return self.ignores
        return bool(self.extras.get("ignore_result", self.ignores))

    @property
    def correlation_id(self) -> str:
        """The id, in Celery's words."""
        return self.id

    @property
    def origin(self) -> None:
        """Who sent it: the file does not know."""

    @property
    def eta(self) -> str | None:
        """When it was due, as ISO 8601 text."""
        return _iso(self.due)

    @property
    def expires(self) -> str | None:
        """When it is too late, as ISO 8601 text."""
        return _iso(self.ends)

    @property
    def timelimit(self) -> tuple[float | None, float | None]:
        """The hard and the soft time limit, in seconds."""
        return self.time_limit, self.soft_time_limit

    @property
    def stamps(self) -> dict[str, Any] | None:
        """The stamps that the job was sent with, by their header."""
        stamps: dict[str, Any] | None = self.extras.get("stamps")
        return stamps

    @property
    def stamped_headers(self) -> list[str] | None:
        """The names of its stamps."""
        return None if self.stamps is None else [*self.stamps]

    @property
    def children(self) -> list[Any]:
        """The jobs that it has sent."""
        children: list[Any] = current_app().AsyncResult(self.id).children or []
        return children

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where the job came from, in Celery's form."""
        return {
            "exchange": "",
            "routing_key": self.queue,
            "priority": self.priority,
            "redelivered": self._deaths > 0,
        }

    @property
    def group(self) -> str | None:
        """The id of the group that it is a member of."""
        group: str | None = current_app().store.after(self.id)[2]
        return group

    @property
    def replaced_task_nesting(self) -> int:
        """How many jobs have been replaced by one another before this one."""
        nesting: int = self.headers.get("replaced_task_nesting", 0)
        return nesting

    @property
    def properties(self) -> dict[str, Any]:
        """Celery's message properties."""
        return {"correlation_id": self.id, "priority": self.priority}

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute or a header, as of a mapping."""
        return getattr(self, name, default)

    def __getattr__(self, name: str) -> Any:
        """Return a header by its name, None for what only workflows and limits have."""
        if not name.startswith("_"):
            if name in self.headers:
                return self.headers[name]
            if name in _NOT_HERE:
                return None
        raise AttributeError(f"the request has no {name!r}")

    def plan_retry(self, when: float, **different: Any) -> None:
        """Remember what `Task.retry` decided, for the executor."""
        self.retry_plan = RetryPlan(when=when, **different)

    def may_show(self, state: str | None, meta: object, text: str | None) -> bool:
        """Tell whether a state can be shown now; one that ends jobs waits for the verdict.

        It is remembered: the job ends in it if the task raises `Ignore`.
        """
        if state is not None:
            self.shown = (state, meta, text)
        return state not in states.READY_STATES


def read_options(text: str) -> dict[str, Any]:
    """Return the options of a job; raises ValueError for such as no sender of ours writes."""
    try:
        extras = json.loads(text)
    except RecursionError as error:
        raise ValueError("they are nested too deep") from error
    if not isinstance(extras, dict):
        raise ValueError("they are no object")
    for name, kind in (("headers", dict), ("root", str), ("shadow", str), ("stamps", dict)):
        if name in extras and not isinstance(extras[name], kind):
            raise ValueError(f"{name!r} is no {kind.__name__}")
    return extras


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def request_for(
    lease: Lease,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    hostname: str,
    *,
    trail: bool = True,
    ignore_result: bool = False,
    extras: dict[str, Any] | None = None,
) -> Request:
    """Build the request of an attempt."""
    return Request(
        lease.id, lease.task, args, kwargs, lease.retries, lease.claim, hostname, lease.queue,
        lease.priority, lease.token, lease.eta, lease.expires, lease.parent, lease.options, trail,
        ignore_result, lease.soft, lease.hard, lease.once, lease.deaths, _extras=extras,
    )  # fmt: skip
