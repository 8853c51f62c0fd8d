"""Periodic jobs as code says them: `beat_schedule`, `add_periodic_task`, `@app.periodic`.

What is said is checked at once as far as it can be, and made an `Entry`, which is data, when a
worker or a beat starts: only then are the tasks, the routes and the time zone known.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final, TypedDict

from litequeue import schedules, sending
from litequeue.calling import (
    UNBUILT_CALL_OPTIONS,
    CallOptions,
    arguments_given,
    moment,
    refuse_options,
    take_stamps,
)
from litequeue.canvas import Signature, signature
from litequeue.canvas.linking import many
from litequeue.config import Settings
from litequeue.entry import Entry
from litequeue.exceptions import ImproperlyConfigured, LiteQueueError
from litequeue.facts import AppFacts
from litequeue.nearest import did_you_mean
from litequeue.routing import Queue
from litequeue.task import Task

logger: Final = logging.getLogger("litequeue.beat")

STARTER: Final = "litequeue.workflow"
"""The built-in task whose jobs begin the workflow that they are given."""
MOST_ARGUMENTS: Final = 128 << 10
"""Bytes of an entry's arguments and headers: they are copied at every tick."""
POLICIES: Final = ("misfire", "catch_up", "overlap", "jitter", "grace", "start", "end")
_CALL: Final = (
    *("queue", "exchange", "routing_key", "priority", "expires", "headers", "shadow"),
    *("serializer", "compression", "ignore_result", "time_limit", "soft_time_limit"),
)
_LINKS: Final = ("link", "link_error")
_POINTLESS: Final = {
    **dict.fromkeys(("countdown", "eta"), "a tick is sent when it is due: move the schedule"),
    **dict.fromkeys(("task_id", "idempotency_key"), "every tick is a job of its own"),
    **dict.fromkeys(("retry", "retry_policy", "add_to_parent"), "nobody waits while beat sends"),
}
_IN_A_SCHEDULE: Final = frozenset(
    ("task", "schedule", "args", "kwargs", "options", "relative", *POLICIES)
)


class EntryOptions(TypedDict, total=False):
    """How a periodic job is sent; durations are seconds or a timedelta.

    Policies: ``misfire`` ("one", "skip", "all"), ``grace``, ``catch_up``, ``overlap`` ("allow",
    "skip", "queue", "cancel"), ``jitter``, ``start``, ``end``.  The others are those of
    `Task.apply_async`; ``expires`` counts from the moment of sending.
    """

    misfire: str
    grace: float | timedelta | None
    catch_up: int
    overlap: str
    jitter: float | timedelta
    start: datetime | float | str | None
    end: datetime | float | str | None
    queue: str | Queue | None
    exchange: str | None
    routing_key: str | None
    priority: int | None
    expires: float | timedelta | None
    headers: Mapping[str, Any] | None
    shadow: str | None
    serializer: str | None
    compression: str | None
    ignore_result: bool | None
    time_limit: float | None
    soft_time_limit: float | None
    stamped_headers: Sequence[str] | None
    link: Any
    link_error: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """One entry as code says it.

    ``task`` is a task, or the name of one.  Raises `ImproperlyConfigured`, TypeError or
    NotImplementedError for what makes no sense, whatever the app turns out to be.
    """

    name: str
    schedule: schedules.Schedule
    task: Task[..., Any] | str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def entry(self, app: Any) -> Entry:
        """Make the entry, with the app's settings, routes and zone; raises as the class does."""
        task = self.task
        if isinstance(task, str):
            name, task = task, app.tasks.get(task)
            if task is None:
                logger.warning(
                    "the entry %s sends %s, which this app does not have%s; "
                    "its jobs wait for a worker that has it",
                    self.name, name, did_you_mean(name, app.tasks),
                )  # fmt: skip
                task = sending.stranger(app, name)
        if task.typing:
            task.check_arguments(self.args, self.kwargs)
        given = dict(self.options)
        policies: dict[str, Any] = {each: given.pop(each) for each in POLICIES if each in given}
        call = _call_options(given, self.name)
        # At moment 0, what counts from the moment of sending is what it counts.
        job = sending.make_job(app, task, self.args, self.kwargs, call, id="", now=0.0)
        size = len(job.body.encode()) + len((job.options or "").encode())
        if size > MOST_ARGUMENTS:
            raise ImproperlyConfigured(
                f"its arguments and headers take {size:,} bytes, and an entry's at most "
                f"{MOST_ARGUMENTS:,}; store the data and give its name"
            )
        return Entry(
            name=self.name,
            schedule=schedules.dump(self.schedule.in_zone(zone_name(app.zone))),
            task=job.task,
            body=job.body,
            queue=job.queue,
            priority=job.priority,
            options=job.options,
            expires=job.expires,
            **checked_policies(policies, app.conf, app.zone, schedule=self.schedule),
        )


def declared(
    schedule: Any,
    task: Any,
    args: Any = (),
    kwargs: Any = None,
    *,
    name: str | None,
    options: Mapping[str, Any],
    relative: bool = False,
) -> Periodic:
    """Return what was said as a `Periodic`; ``task`` may be a signature, or its mapping.

    A workflow is the argument of a task that it then replaces: it begins in the commit in which
    that ends, so once per tick.  Raises as `Periodic` does.
    """
    if isinstance(task, Mapping) or any(options.get(each) is not None for each in _LINKS):
        call = _with_arguments(signature(task).clone(), args, kwargs)
        if _is_workflow(call, options):
            name = name or repr(call)
            options = {each: value for each, value in options.items() if each not in _LINKS}
            task, args, kwargs = STARTER, (), {"sig": _routed(call, options)}
        else:
            args, kwargs, task = call.args, call.kwargs, call.task
            options = {**call.options, **options}
    if not isinstance(task, Task | str):
        raise TypeError(
            f"an entry sends a signature, a task or the name of one, not {task!r:.80}; "
            "say add.s(1, 2), not add(1, 2)"
        )
    given, named = arguments_given(args or (), kwargs or {})
    text = task if isinstance(task, str) else task.name
    name = _shown(text, given, named) if name is None else name
    _check_options(name, options)
    return Periodic(
        name=name,
        schedule=schedules.schedule_of(schedule, relative=relative),
        task=task,
        args=given,
        kwargs=named,
        options=dict(options),
    )


def _with_arguments(sig: Any, args: Any, kwargs: Any) -> Any:
    """Return a call with arguments before its own; in a workflow what comes first gets them."""
    if not args and not kwargs:
        return sig
    if sig.subtask_type == "chain":
        sig.tasks = [
            *(_with_arguments(each, args, kwargs) for each in sig.tasks[:1]),
            *sig.tasks[1:],
        ]
    elif sig.subtask_type in ("chord", "group"):
        members = sig.header_group() if sig.subtask_type == "chord" else sig
        members.tasks = [_with_arguments(each, args, kwargs) for each in members.tasks]
    else:
        return sig.clone(args, kwargs)
    return sig


def _is_workflow(call: Signature[Any], options: Mapping[str, Any]) -> bool:
    """Tell whether a signature is more than one job, after what ``options`` link to it."""
    for each in many(options.get("link")):
        call.link(_signature(each))
    for each in many(options.get("link_error")):
        call.link_error(_signature(each))
    linked = any(call.options.get(each) for each in _LINKS)
    return linked or call.subtask_type in ("chain", "chord", "group")


def _signature(linked: object) -> Signature[Any]:
    if not isinstance(linked, Mapping):
        raise TypeError(f"what is linked to a job is a signature, not {linked!r:.80}")
    return signature(linked)


def _routed(call: Any, options: Mapping[str, Any]) -> Signature[Any]:
    """Return a workflow with those options of its entry that its first jobs have, too."""
    if _is_frozen(call):
        raise ImproperlyConfigured(
            "an entry takes no task_id, and its workflow was frozen: every tick is a workflow of "
            "its own"
        )
    own = {name: options[name] for name in _CALL if options.get(name) is not None}
    routed: Signature[Any] = call.set(**own)
    return routed


def _is_frozen(sig: Any) -> bool:
    """Tell whether a job of a workflow has its id already."""
    inner = [*many(sig.options.get("link")), *many(sig.options.get("link_error"))]
    if sig.subtask_type in ("chain", "group"):
        inner += sig.tasks
    elif sig.subtask_type == "chord":
        inner += [*sig.header_group().tasks, sig.body]
    return bool(sig.options.get("task_id")) or any(map(_is_frozen, filter(None, inner)))


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Refuse what makes no sense whatever the app turns out to be."""
    rest = dict(options)
    policies: dict[str, Any] = {each: rest.pop(each) for each in POLICIES if each in rest}
    unknown = rest.keys() - EntryOptions.__annotations__.keys() - UNBUILT_CALL_OPTIONS
    unknown -= {*_POINTLESS, *(rest.get("stamped_headers") or ())}
    for option in sorted(unknown):
        hint = did_you_mean(option, EntryOptions.__annotations__)
        raise TypeError(f"an entry has no option {option!r}{hint}")
    try:
        _call_options(rest, name)
        checked = checked_policies(policies, None, None)
    except ImproperlyConfigured as error:
        if f"entry {name!r}" in str(error):
            raise
        raise ImproperlyConfigured(f"the entry {name!r}: {error}") from error
    Entry(name=name, schedule="", task="any", body="", queue="any", **checked)


def _shown(task: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Return a call as Celery names an entry that was given no name: "tasks.add(1, 2)"."""
    words = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
    return f"{task}({', '.join(words)})"


def _call_options(given: dict[str, Any], name: str) -> CallOptions:
    """Return the options of `Task.apply_async` that an entry may have."""
    where = f"the entry {name!r}"
    for each in _POINTLESS.keys() & given.keys():
        if given.pop(each) is not None:
            raise ImproperlyConfigured(f"{where} takes no {each}: {_POINTLESS[each]}")
    stamps = take_stamps(given, given.pop("stamped_headers", None), where)
    call = {each: given.pop(each) for each in _CALL if each in given}
    refuse_options(given, UNBUILT_CALL_OPTIONS, where)
    if isinstance(call.get("queue"), Queue):
        call["queue"] = call["queue"].name
    call["expires"] = seconds_of("expires", call.get("expires"))
    return CallOptions(**call, stamps=stamps, add_to_parent=False, entry=name)


def checked_policies(
    given: Mapping[str, Any],
    conf: Settings | None,
    zone: tzinfo | None,
    *,
    schedule: schedules.Schedule | None = None,
) -> dict[str, Any]:
    """Return the policies of an entry as it stores them; `Entry` checks what they say.

    A new one on a crontab ``schedule`` has the grace of the settings where it gives none.
    """
    policies = dict(given)
    for name in ("grace", "jitter"):
        if name in policies:
            policies[name] = seconds_of(name, policies[name])
    for name in ("start", "end"):
        if name in policies:
            policies[name] = moment(policies[name], zone)
    if conf is not None and isinstance(schedule, schedules.crontab):
        policies.setdefault("grace", conf.beat_cron_starting_deadline)
    return policies


def seconds_of(name: str, value: Any) -> float | None:
    """Return a duration in seconds; raises `ImproperlyConfigured` for what is none."""
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ImproperlyConfigured(f"{name} is a number of seconds or a timedelta, not {value!r:.80}")


def zone_name(zone: tzinfo | None) -> str:
    """Return the zone of schedules that name none: the setting ``timezone``, else UTC (Celery's).

    Raises `ImproperlyConfigured` for a tzinfo that has no name in the time zone database.
    """
    if zone is None:
        return "UTC"
    name = getattr(zone, "key", None) or ("UTC" if zone.utcoffset(None) == timedelta(0) else None)
    if name is None:
        raise ImproperlyConfigured(
            f"schedules need a time zone with a name, and the setting timezone is {zone!r}; "
            'say it as "Europe/Berlin"'
        )
    return str(name)


def from_setting(conf: Settings) -> list[Periodic]:
    """Return what the setting `beat_schedule` says; raises `ImproperlyConfigured`."""
    said = conf.beat_schedule or {}
    if not isinstance(said, Mapping):
        raise ImproperlyConfigured(f"beat_schedule is a mapping of names, not {said!r:.80}")
    return [_from_line(name, line) for name, line in said.items()]


def _from_line(name: Any, line: Any) -> Periodic:
    with _naming(name):
        if not isinstance(line, Mapping):
            raise TypeError(f"it is a mapping with task and schedule, not {line!r:.80}")
        unknown = line.keys() - _IN_A_SCHEDULE
        if unknown:
            key = min(map(str, unknown))
            hint = did_you_mean(key, _IN_A_SCHEDULE)
            if key in EntryOptions.__annotations__:
                hint = f"; what is for the call stands in options, {{{key!r}: …}}"
            raise TypeError(f"it has no {key!r}{hint}")
        policies = {each: line[each] for each in POLICIES if each in line}
        return declared(
            line.get("schedule"),
            line.get("task"),
            line.get("args"),
            line.get("kwargs"),
            name=str(name),
            options={**(line.get("options") or {}), **policies},
            relative=bool(line.get("relative", False)),
        )


def entries_of(app: Any) -> list[Entry]:
    """Return all entries that the code of ``app`` defines; the last of a name counts, as in Celery.

    Raises `ImproperlyConfigured` that names the entry which makes no sense, or the receiver that
    failed: with a part of the entries, those that the file has would seem to be no more wanted.
    """
    for receiver, error in app.failures:
        name = getattr(receiver, "__qualname__", repr(receiver))
        raise ImproperlyConfigured(
            f"the receiver {name} raised {type(error).__name__} while the app was configured, so "
            f"not all periodic jobs are known: {error}"
        ) from error
    said = {each.name: each for each in (*from_setting(app.conf), *app.periodics)}
    entries = []
    for each in said.values():
        with _naming(each.name):
            entries.append(each.entry(app))
    return entries


def owner_of(facts: AppFacts) -> str:
    """Return by what name an app owns its entries: "module:attribute", or where it was started."""
    return facts.name if facts.name is not None else f"({facts.root})"


class _naming:
    """Raise what makes no sense as `ImproperlyConfigured`, with the entry's name."""

    def __init__(self, name: object) -> None:
        self._name = name

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Name the entry; what is not built yet stays what it is."""
        if isinstance(error, TypeError | ValueError | LiteQueueError):
            whose, text = f"entry {self._name!r}", str(error)
            if text.startswith(f"the {whose}"):  # it says so itself
                raise ImproperlyConfigured(text) from error
            text = text.removeprefix(f"{whose}: ")
            raise ImproperlyConfigured(f"the {whose}: {text}") from error
