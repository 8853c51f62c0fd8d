"""``litequeue schedule``: what is sent again and again, looked at and changed in the file."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import click

from litequeue.cli.calls import arguments, check_call, is_argument, known_task, task_of
from litequeue.cli.entry_file import (
    blocking_run,
    check_ours,
    check_removable,
    find_entries,
    is_there,
    ring,
    tell,
    warn_if_nobody,
    warn_of_overdue,
)
from litequeue.cli.entry_options import (
    NONE,
    TASKS_OWN,
    entry_options,
    given_fields,
    given_schedule,
    note_default_zone,
)
from litequeue.cli.entry_output import TICKS_SHOWN, print_entries, print_entry
from litequeue.cli.failure import Failure
from litequeue.cli.output import note, print_json, say
from litequeue.cli.parameters import Command, Name, database_argument, json_option
from litequeue.cli.queue_file import has_live_worker, nobody_works, opened
from litequeue.cli.verbs import TemplateCommand, Verbs, as_typed
from litequeue.clock import SYSTEM

F = TypeVar("F", bound=Callable[..., Any])
EXAMPLE: Final = "litequeue schedule jobs.sqlite add nightly tasks.report --cron @daily"


@click.group(
    cls=Verbs,
    example=EXAMPLE,
    invoke_without_command=True,
    subcommand_metavar="[VERB] ...",
    epilog=f"Example: {EXAMPLE}",
)
@database_argument
@json_option
@click.pass_context
def schedule(ctx: click.Context, db: str, as_json: bool) -> None:
    """List and change what is sent again and again.

    An entry is a name, a schedule, and the task to send.  Every worker sends what is due, and so
    does `litequeue beat`.  Without a verb the entries are listed.
    """
    ctx.obj = db
    if ctx.invoked_subcommand is None:
        _list(db, as_json=as_json)
    elif as_json:
        raise click.UsageError(f"--json stands behind {ctx.invoked_subcommand}", ctx)


def _verb(
    name: str, example: str, kind: type[Command] = Command
) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a verb; it is called with the path of the file first."""

    def add_it(function: Callable[..., Any]) -> click.Command:
        typed = f"litequeue schedule jobs.sqlite {example}"
        made = schedule.command(name, cls=kind, example=typed)
        return made(click.pass_obj(function))

    return add_it


def _names(function: F) -> F:
    """Add NAME..., each once."""
    return click.argument(
        "names", nargs=-1, required=True, type=Name(), metavar="NAME...",
        callback=lambda ctx, param, names: tuple(dict.fromkeys(names)),
    )(function)  # fmt: skip


def _template(function: F) -> F:
    """Add NAME, TASK, ARG... and the options that make an entry."""
    for decorate in (
        json_option,
        entry_options,
        click.argument("words", nargs=-1, type=Name(), metavar="[ARG]...", callback=as_typed),
        click.argument("task", type=Name(), required=False, callback=as_typed),
        click.argument("name", type=Name(), callback=as_typed),
    ):
        function = decorate(function)
    return function


# Looking


@_verb("list", "list --json")
@json_option
def list_entries(db: str, as_json: bool) -> None:
    """List the entries."""
    _list(db, as_json=as_json)


def _list(db: str, *, as_json: bool) -> None:
    from litequeue.store import entries

    with opened(db) as database:
        found = entries.listed(database)
        now = SYSTEM.now()
        warn_of_overdue(database, found, now)
    print_entries(found, now, as_json=as_json)


@_verb("show", "show nightly")
@click.argument("name", type=Name())
@json_option
def show(db: str, name: str, as_json: bool) -> None:
    """Show one entry, its next runs and its last ones."""
    from litequeue.store import entries

    with opened(db) as database:
        (record,) = find_entries(database, [name])
        ticks = entries.history(database, name, TICKS_SHOWN)
        blocking = blocking_run(database, record)
    print_entry(record, ticks, SYSTEM.now(), blocking=blocking, as_json=as_json)


# Defining


@_verb("add", "add nightly tasks.report --cron @daily --tz local", TemplateCommand)
@_template
@click.option("--paused", is_flag=True, help="Send nothing of it until it is resumed.")
@click.pass_context
def add(
    ctx: click.Context,
    /,
    db: str,
    name: str,
    task: str | None,
    words: tuple[str, ...],
    as_json: bool,
    paused: bool,
    **given: Any,
) -> None:
    """Add an entry.

    Each ARG is JSON ('"text"', 5, '[1, 2]'), or NAME=VALUE, where VALUE is JSON or else text.
    """
    from litequeue.cli import entry_making
    from litequeue.exceptions import EntryExists
    from litequeue.store import entries

    made = given_schedule(ctx, given)
    if made is None:
        raise click.UsageError("when? say --cron, --every, --at or --solar", ctx)
    if task is None:
        raise click.UsageError("which task? name it behind the name of the entry", ctx)
    fields = given_fields(ctx, given)
    args, kwargs = arguments(ctx, words, given["args_text"], given["kwargs_text"])
    with opened(db) as database:
        facts = known_task(database, task, force=given["force"])
        check_call(ctx, facts, args, kwargs, force=given["force"])
        now = SYSTEM.now()
        call = entry_making.new_call(ctx, name, task, (args, kwargs))
        entry = entry_making.make(ctx, name, made, call, fields, facts=facts)
        entry_making.check_due(ctx, entry, now)
        try:
            entries.add(database, entry, now, paused=paused)
        except EntryExists:
            (there,) = find_entries(database, [name])
            raise Failure(is_there(database, there)) from None
        note_default_zone(given)
        tell(database, name, "added", as_json=as_json)


@_verb("edit", "edit nightly --cron '0 4 * * *'", TemplateCommand)
@_template
@click.pass_context
def edit(
    ctx: click.Context,
    /,
    db: str,
    name: str,
    task: str | None,
    words: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Change what is said of an entry, and nothing else of it.

    Arguments that are given replace all it had, and TASK may be left out.  "none" takes away
    what --expires, --grace, --start or --end said; --queue and --priority are the task's then.
    """
    from litequeue.cli import entry_making
    from litequeue.schedules import dump
    from litequeue.store import entries

    given_schedule(ctx, given)  # what is wrong with it needs no file
    changes = given_fields(ctx, given)
    if task is not None and is_argument(task):
        words, task = (task, *words), None
    call = None
    if words or given["args_text"] is not None or given["kwargs_text"] is not None:
        call = arguments(ctx, words, given["args_text"], given["kwargs_text"])
    with opened(db) as database:
        (record,) = find_entries(database, [name])
        check_ours(database, [record])
        entry = record.entry
        zone = entry_making.zone_of(entry)
        made = given_schedule(ctx, given, zone=zone)
        if made is None and given["tz"] is not None and not {"start", "end"} & changes.keys():
            made = entry_making.moved(ctx, entry, given["tz"])
        if made is not None:
            changes["schedule"] = dump(made)
        if task is not None or call is not None:
            called = entry_making.changed_call(ctx, entry, task, call)
            facts = known_task(database, called.task, force=given["force"])
            check_call(ctx, facts, *called.arguments, force=given["force"])
            changes |= {"task": called.task, "body": called.body}
        if taken_back := [each for each in TASKS_OWN if changes.get(each) == NONE]:
            facts = task_of(ctx, database, changes.get("task", entry.task), taken_back)
            changes = entry_making.with_tasks_own(changes, facts)
        if not changes:
            how = f"litequeue schedule {db} edit {shlex.quote(name)} --every 10m"
            raise click.UsageError(f"say what to change, as `{how}`", ctx)
        now = SYSTEM.now()
        changed = entry_making.changed(ctx, entry, changes)
        if {"schedule", "start", "end"} & changes.keys():
            entry_making.check_due(ctx, changed, now)
        entries.change(database, name, changes, now)
        note_default_zone(given, zone=zone)
        tell(database, name, "was so" if changed == entry else "changed", as_json=as_json)


# Switching


@_verb("pause", "pause nightly")
@_names
@json_option
def pause(db: str, names: tuple[str, ...], as_json: bool) -> None:
    """Send nothing of these entries until they are resumed.

    Jobs that were sent run all the same.  An entry of code stays paused through deploys.
    """
    from litequeue.store import entries

    with opened(db) as database:
        find_entries(database, names)
        changed = [name for name in names if entries.pause(database, name, SYSTEM.now())]
        ring(database)
    _say(names, changed, "paused", already="is paused already", as_json=as_json)


@_verb("resume", "resume nightly")
@_names
@json_option
def resume(db: str, names: tuple[str, ...], as_json: bool) -> None:
    """Send entries again that were paused.

    What was due meanwhile is not sent: the next run is the first one from now on.
    """
    from litequeue.store import entries

    with opened(db) as database:
        find_entries(database, names)
        changed = [name for name in names if entries.resume(database, name, SYSTEM.now())]
        ring(database)
        warn_if_nobody(database, changed, "resumed")
    _say(names, changed, "resumed", already="is not paused", as_json=as_json)


@_verb("run-now", "run-now nightly")
@click.argument("name", type=Name())
@json_option
def run_now(db: str, name: str, as_json: bool) -> None:
    """Send the job of an entry now, and print its id.

    Its next run stays as it is.  One that is paused is sent, too.
    """
    from litequeue.job import new_id
    from litequeue.store import entries

    with opened(db) as database:
        find_entries(database, [name])
        now = SYSTEM.now()
        job = entries.run_now(database, name, new_id(now), now)
        ring(database)
        if not has_live_worker(database):
            note(f"litequeue: job {job.id} is accepted, but {nobody_works(database.path)}")
    if as_json:
        print_json(id=job.id, task=job.task, queue=job.queue, entry=name)
    else:
        say(job.id)


@_verb("remove", "remove nightly")
@_names
@click.option("--force", is_flag=True, help="Even if code defines it: for an app that is gone.")
@json_option
def remove(db: str, names: tuple[str, ...], force: bool, as_json: bool) -> None:
    """Remove entries; jobs that were sent run all the same.

    One that code defines comes back when a worker starts with that code.
    """
    from litequeue.store import entries

    with opened(db) as database:
        found = find_entries(database, names)
        if not force:
            check_removable(found)
        for name in names:
            entries.remove(database, name, force=force)
        ring(database)
    _say(names, names, "removed", already="", as_json=as_json)


# What they say


def _say(
    wanted: Sequence[str], changed: Sequence[str], done: str, *, already: str, as_json: bool
) -> None:
    if as_json:
        print_json(entries=list(wanted), changed=list(changed))
        return
    for name in wanted:
        if name in changed:
            say(f"{name} {done}")
        else:
            note(f"litequeue: the entry {name!r} {already}")
