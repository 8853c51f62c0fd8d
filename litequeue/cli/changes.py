"""``litequeue retry``, ``revoke`` and ``purge``: changes to many jobs, never more than was said."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from litequeue.cli import pyproject
from litequeue.cli.failure import Failure
from litequeue.cli.output import breakdown, clean, counted, is_terminal, note, print_json, say
from litequeue.cli.parameters import Command, Name, database_argument, json_option
from litequeue.cli.queue_file import check_queues, find_job, opened
from litequeue.cli.selection import filters, selection
from litequeue.clock import SYSTEM

if TYPE_CHECKING:
    from litequeue.store import Database, Keep
    from litequeue.store.bulk import Change, Chosen
    from litequeue.store.listing import JobRow, Selection
    from litequeue.store.wakeup import Ringer

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a bulk change is made."""

    yes: bool
    dry_run: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Words:
    """How people say what is done: "run 3 jobs again", "3 jobs run again"."""

    verb: str
    done: str
    after: str = ""


WORDS: Final = {
    "rerun": Words("run", "will run again", " again"),
    "revoke": Words("revoke", "revoked"),
    "purge": Words("delete", "deleted"),
}


def _bulk(function: F) -> F:
    for option in (
        json_option,
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
    ):
        function = option(function)
    return function


def _several(function: F) -> F:
    """Add ids, filters and --all."""
    for option in (
        click.option("--all", "everything", is_flag=True, help="All jobs it can be done to."),
        filters,
        click.argument("ids", nargs=-1, type=Name(), metavar="[ID]..."),
    ):
        function = option(function)
    return function


@click.command(cls=Command, example="litequeue retry jobs.sqlite --task 'mail.*' --since 1h")
@database_argument
@_several
@_bulk
@click.pass_context
def retry(ctx: click.Context, /, db: str, ids: tuple[str, ...], **given: Any) -> int:
    """Run finished jobs again, under the same ids.

    A job that failed, was revoked, rejected or ignored gets a new run, with all its retries.
    Without --state only failed ones are meant; an ID may be abbreviated.
    """
    from litequeue.store.bulk import Change

    return _change(ctx, Change.RERUN, db, ids, given)


@click.command(cls=Command, example="litequeue revoke jobs.sqlite 019a3f")
@database_argument
@_several
@_bulk
@click.pass_context
def revoke(ctx: click.Context, /, db: str, ids: tuple[str, ...], **given: Any) -> int:
    """Call off jobs that have not started.

    They end as REVOKED.  An ID may be abbreviated.
    """
    from litequeue.store.bulk import Change

    return _change(ctx, Change.REVOKE, db, ids, given)


@click.command(cls=Command, example="litequeue purge jobs.sqlite -Q mail")
@database_argument
@click.option("-Q", "--queues", type=Name(), multiple=True,
              help="Comma-separated; default: every queue.")  # fmt: skip
@_bulk
def purge(db: str, queues: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool) -> int:
    """Delete all jobs that have not started.

    They are gone, with their ids; `litequeue revoke` keeps them.
    """
    from litequeue.store.bulk import Change

    options = Options(yes=yes, dry_run=dry_run, as_json=as_json)
    chosen = selection(queues=queues)
    with opened(db) as database:
        check_queues(database, chosen.queues)
        return _change_many(database, Change.PURGE, chosen, options)


def _change(
    ctx: click.Context, change: Change, db: str, ids: tuple[str, ...], given: dict[str, Any]
) -> int:
    """Change the jobs that were named, or those that match."""
    options = Options(**{name: given.pop(name) for name in ("yes", "dry_run", "as_json")})
    everything = given.pop("everything")
    any_filter = any(value not in ((), None) for value in given.values())
    if ids and (any_filter or everything):
        raise click.UsageError("name ids or say filters, not both", ctx)
    if not (ids or any_filter or everything):
        raise click.UsageError(
            f"which jobs? name ids, or say --state, --task, --queue, --since or --all, "
            f"as `{getattr(ctx.command, 'example', '')}`", ctx,
        )  # fmt: skip
    with opened(db) as database:
        if ids:
            return _change_some(database, change, ids, options)
        if change.value == "rerun" and not given["wanted"]:
            given["wanted"] = ("failed",)
        chosen = selection(**given)
        check_queues(database, chosen.queues)
        return _change_many(database, change, chosen, options)


def _change_some(database: Database, change: Change, ids: Iterable[str], options: Options) -> int:
    """Change jobs by their ids; all are found before one is changed."""
    found = list({job.seq: job for job in [find_job(database, id) for id in ids]}.values())
    changed = [job for job in found if not options.dry_run and _change_one(database, change, job)]
    left = [job for job in found if job not in changed]
    if options.as_json:
        print_json(
            matched=len(found), changed=len(changed), dry_run=options.dry_run,
            ids=[job.id for job in changed],
        )  # fmt: skip
    words = WORDS[change.value]
    for job in found:
        if options.dry_run:
            say(f"would {words.verb} {job.id} ({job.task}, {job.state}){words.after}")
        elif job in left:
            note(f"litequeue: job {job.id} {_why_not(change, job)}")
        elif not options.as_json:
            say(f"{job.id} {words.done}")
    return 1 if left and not options.dry_run else 0


def _change_one(database: Database, change: Change, job: JobRow) -> bool:
    from litequeue.store import jobs

    if change.value == "rerun":
        done = jobs.rerun(database, job.id)
    else:
        done = jobs.revoke(database, job.id, now=SYSTEM.now(), keep=_keep())
    if done:
        _ring(database, change, [[job.id]])
    return done


def _why_not(change: Change, job: JobRow) -> str:
    if job.phase == "done":
        return f"has already ended as {clean(job.state)}"
    if change.value == "rerun":
        return f"has not ended yet, it is {job.phase}; nothing was changed"
    return "is running; what has started cannot be revoked"


def _change_many(database: Database, change: Change, chosen_by: Selection, options: Options) -> int:
    from litequeue.store import bulk

    chosen = bulk.choose(database, change, chosen_by, SYSTEM.now())
    if chosen.total and not options.dry_run and not options.yes:
        _ask(chosen)
    done = 0
    if not options.dry_run:
        done = _carry_out(database, chosen)
    if options.as_json:
        print_json(
            matched=chosen.total, changed=done, dry_run=options.dry_run, counts=dict(chosen.counts)
        )
    elif not chosen.total:
        say("no job matches")
    elif options.dry_run:
        say(f"would {_sentence(chosen)}")
    else:
        say(f"{counted(done)} {WORDS[change.value].done}")
    return 0


def _sentence(chosen: Chosen) -> str:
    words = WORDS[chosen.change.value]
    return f"{words.verb} {counted(chosen.total)}{words.after} ({breakdown(chosen.counts)})"


def _ask(chosen: Chosen) -> None:
    """Go on only if somebody says so."""
    if not (sys.stdin.isatty() and is_terminal(sys.stderr)):
        raise click.UsageError(
            f"this would {_sentence(chosen)}: add --yes to do it, or --dry-run to look "
            "(nobody is here to be asked)"
        )
    question = f"{_sentence(chosen)}?"
    if not click.confirm(question[:1].upper() + question[1:], err=True):
        raise Failure("nothing was changed")


def _carry_out(database: Database, chosen: Chosen) -> int:
    """Make the change batch by batch; say how far it came when it is interrupted."""
    from litequeue.store import bulk

    done = 0
    batches = bulk.carry_out(database, chosen, now=SYSTEM.now(), keep=_keep())
    try:
        for ids, changed in batches:
            done += changed
            _ring(database, chosen.change, [ids])
    except KeyboardInterrupt:
        note(f"stopped: {counted(done)} {WORDS[chosen.change.value].done} so far")
        raise
    return done


def _ring(database: Database, change: Change, batches: Iterable[list[str]]) -> None:
    """Wake who waits for such news: workers for jobs, everybody else for verdicts."""
    from litequeue.store.wakeup import Ringer

    ringer: Ringer = Ringer(database.path, SYSTEM)
    try:
        for ids in batches:
            if change.value == "rerun":
                ringer.ring_workers()
            else:
                ringer.ring_waiters(ids)
    finally:
        ringer.close()


def _keep() -> Keep:
    from litequeue.store import Keep

    conf = pyproject.settings()
    return Keep(success=conf.result_expires, failure=conf.result_failure_expires)
