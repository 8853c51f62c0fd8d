"""Making an `Entry` of what was typed, and changing one, without importing any app."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from litequeue.cli import pyproject
from litequeue.cli.entry_facts import arguments_of, in_words
from litequeue.cli.entry_options import NONE, TASKS_OWN, as_usage
from litequeue.cli.output import clean, iso

if TYPE_CHECKING:
    from litequeue.entry import Entry
    from litequeue.facts import TaskFacts
    from litequeue.schedules import Schedule

Arguments = tuple[list[Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """A task, what it is called with, and that as the file holds it."""

    task: str
    arguments: Arguments
    body: str


def make(
    ctx: click.Context, name: str, made: Schedule, call: Call, fields: Mapping[str, Any],
    *, facts: TaskFacts | None,
) -> Entry:  # fmt: skip
    """Make an entry; raises `click.UsageError` for what beat could not keep."""
    from litequeue.entry import Entry
    from litequeue.schedules import crontab, dump

    conf = pyproject.settings()
    defaults: dict[str, Any] = dict.fromkeys(TASKS_OWN, NONE)
    if isinstance(made, crontab):
        defaults["grace"] = conf.beat_cron_starting_deadline
    said = with_tasks_own({**defaults, **fields}, facts)
    with as_usage(ctx):
        return Entry(
            name=name, schedule=dump(made), task=call.task, body=call.body, options=_options(name),
            **said,
        )  # fmt: skip


def with_tasks_own(fields: Mapping[str, Any], facts: TaskFacts | None) -> dict[str, Any]:
    """Return the fields with the task's own queue and priority where they say `NONE`."""
    conf = pyproject.settings()
    queue = (facts.queue if facts is not None else None) or conf.task_default_queue
    own = {"queue": queue, "priority": conf.task_default_priority}
    return {name: own[name] if value == NONE else value for name, value in fields.items()}


def new_call(ctx: click.Context, name: str, task: str, arguments: Arguments) -> Call:
    """Return a call of a task from an entry; raises as `Task.apply_async` does."""
    from litequeue.calling import check_name

    with as_usage(ctx):
        check_name("the name of an entry", name)
        check_name("the name of a task", task)
    return Call(task, arguments, _encoded(task, arguments, _options(name)))


def changed_call(
    ctx: click.Context, entry: Entry, task: str | None, arguments: Arguments | None
) -> Call:
    """Return the call of an entry with another task or other arguments, or both."""
    task = task or entry.task
    if arguments is not None:
        return Call(task, arguments, _encoded(task, arguments, entry.options))
    kept = arguments_of(entry)
    if kept is None:  # and perhaps signed, for the old task
        raise click.UsageError(
            "its arguments are no plain JSON, so they stay with their task; give new ones, with "
            "--args and --kwargs", ctx,
        )  # fmt: skip
    return Call(task, kept, entry.body)


def changed(ctx: click.Context, entry: Entry, changes: Mapping[str, Any]) -> Entry:
    """Return the entry as it will be; raises `click.UsageError` for what beat could not keep."""
    with as_usage(ctx):
        return replace(entry, **changes)


def moved(ctx: click.Context, entry: Entry, zone: str) -> Schedule:
    """Return the schedule of an entry in another time zone; raises `click.UsageError`."""
    from litequeue.schedules import crontab, load

    with as_usage(ctx):
        found = load(entry.schedule)
        if not isinstance(found, crontab):
            raise click.UsageError(
                f"--tz is for --cron and for moments, and this is {clean(found)}: say the whole "
                "schedule", ctx,
            )  # fmt: skip
        return crontab.of_texts(found.texts, zone, found.either)


def zone_of(entry: Entry) -> str | None:
    """Return the zone of an entry's schedule, None where it names none or cannot be read."""
    from litequeue.schedules import ScheduleError, load

    try:
        zone: str | None = getattr(load(entry.schedule), "zone", None)
    except ScheduleError:
        return None
    return zone


def check_due(ctx: click.Context, entry: Entry, now: float) -> None:
    """Raise `click.UsageError` for an entry that would never be sent again."""
    from litequeue.due import first

    if first(entry, now, now) is None:
        end = f", which ends {iso(entry.end)}," if entry.end is not None else ""
        raise click.UsageError(
            f"it would never be sent: {in_words(entry)}{end} has no moment after {iso(now)}", ctx
        )


def _options(name: str) -> str:
    """Return what a job of an entry keeps of its call."""
    from litequeue.serialization import dumps

    return dumps({"entry": name})


def _encoded(task: str, arguments: Arguments, options: str | None) -> str:
    from litequeue.configured import Configured
    from litequeue.job import bound_to
    from litequeue.periodic import MOST_ARGUMENTS
    from litequeue.serialization import Types

    conf = pyproject.settings()
    codec = Configured(conf, Types()).codec()
    args, kwargs = arguments
    return codec.dumps_arguments(
        args,
        kwargs,
        limit=min(conf.task_max_arguments_size, MOST_ARGUMENTS),
        context=bound_to(task, "", options),
        serializer="signed" if conf.task_serializer.startswith("signed") else "json",
    )
