"""``litequeue retry`` and ``purge``: changes to many jobs, never more than was said.

What `litequeue.cli.revoking` shares with them is here, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from litequeue.cli import pyproject, workflows
from litequeue.cli.failure import NO_SUCH_THING, Failure
from litequeue.cli.output import breakdown, clean, counted, is_terminal, note, print_json, say
from litequeue.cli.parameters import Command, Name, database_argument, json_option
from litequeue.cli.queue_file import check_queues, find_job_or_group, opened
from litequeue.cli.selection import filters, selection
from litequeue.clock import SYSTEM
from litequeue.flow import Group

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


def bulk_options(function: F) -> F:
    """Add --yes, --dry-run and --json."""
    for option in (
        json_option,
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask."),
    ):
        function = option(function)
    return function


def several(function: F) -> F:
    """Add ids, filters and --all: which jobs are meant."""
    for option in (
        click.option("--all", "everything", is_flag=True, help="All jobs it can be done to."),
        filters,
        click.argument("ids", nargs=-1, type=Name(), metavar="[ID]..."),
    ):
        function = option(function)
    return function


@click.command(cls=Command, example="litequeue retry jobs.sqlite --task 'mail.*' --since 1h")
@database_argument
@several
@bulk_options
@click.pass_context
def retry(ctx: click.Context, /, db: str, ids: tuple[str, ...], **given: Any) -> int:
    """Run finished jobs again, under the same ids.

    A job that failed, was revoked, rejected or ignored gets a new run, with all its retries; the
    steps of its workflow that it had stopped wait for it again.  Without --state only failed ones
    are meant; an ID may be abbreviated.
    """
    from litequeue.store.bulk import Change

    options = taken_out(given)
    check_which(ctx, ids, given)
    with opened(db) as database:
        if ids:
            return _rerun_some(database, ids, options)
        given["wanted"] = given["wanted"] or ("failed",)
        chosen = selection(**given)
        check_queues(database, chosen.queues)
        return _change_many(database, Change.RERUN, chosen, options)


@click.command(cls=Command, example="litequeue purge jobs.sqlite -Q mail")
@database_argument
@click.option("-Q", "--queues", type=Name(), multiple=True,
              help="Comma-separated; default: every queue.")  # fmt: skip
@bulk_options
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


def taken_out(given: dict[str, Any]) -> Options:
    """Return how the change is made; what is left in ``given`` says of what."""
    return Options(**{name: given.pop(name) for name in ("yes", "dry_run", "as_json")})


def check_which(ctx: click.Context, ids: Iterable[str], given: dict[str, Any]) -> None:
    """Raise `click.UsageError` unless jobs are named, or filters say which; leave the filters."""
    everything = given.pop("everything")
    any_filter = any(value not in ((), None) for value in given.values())
    if ids and (any_filter or everything):
        raise click.UsageError("name ids or say filters, not both", ctx)
    if not (ids or any_filter or everything):
        raise click.UsageError(
            f"which jobs? name ids, or say --state, --task, --queue, --since or --all, "
            f"as `{getattr(ctx.command, 'example', '')}`", ctx,
        )  # fmt: skip


def find_all(database: Database, ids: Iterable[str], *, of_group: str) -> list[JobRow]:
    """Return the jobs that were named, each once; raises `Failure` where one is not found.

    ``of_group`` says what to do about a group that was named.
    """
    found = {}
    for id in ids:
        job = find_job_or_group(database, id)
        if isinstance(job, Group):
            raise Failure(f"{id!r} is a group of jobs: {of_group}", code=NO_SUCH_THING)
        found[job.seq] = job
    return list(found.values())


def _rerun_some(database: Database, ids: Iterable[str], options: Options) -> int:
    """Run jobs again by their ids; all are found before one is changed."""
    how = f"name those of its members that failed; see `litequeue jobs {database.path}`"
    found = find_all(database, ids, of_group=how)
    back = {}
    for job in found if not options.dry_run else ():
        again = _rerun(database, job)
        if again is not None:
            back[job] = again
    left = [job for job in found if job not in back]
    if options.as_json:
        print_json(
            matched=len(found), changed=len(back), dry_run=options.dry_run,
            ids=[job.id for job in back], brought_back=sum(back.values()),
        )  # fmt: skip
    for job in found:
        if options.dry_run:
            say(f"would run {job.id} ({job.task}, {job.state}) again")
        elif job in left:
            note(f"litequeue: job {job.id} {_why_not(database, job)}")
        elif not options.as_json:
            say(f"{job.id} {WORDS['rerun'].done}{_what_waits(back[job])}")
    return 1 if left and not options.dry_run else 0


def _rerun(database: Database, job: JobRow) -> int | None:
    """Run a job again; return how many wait for it again, None where it will not begin."""
    from litequeue.store import jobs
    from litequeue.store.advance import Advanced, advance_all

    stopped = workflows.stopped(database, job.id)
    if not jobs.rerun(database, job.id, now=SYSTEM.now(), keep=keep()):
        # It may have come back with one before it that was named, too.
        is_back = job.phase == "done" and any(
            each.phase != "done" for each in workflows.jobs(database, [job.id])
        )
        return 0 if is_back else None
    if stopped or workflows.waits_for_others(database, job.id):
        # Else the next worker would do it: bring back what was stopped, or stop this one again.
        advance_all(database, Advanced(more=True), SYSTEM.now(), keep())
        if job.id in workflows.stopped_among(database, [job.id]):
            return None
    ring(database, [])
    return workflows.brought_back(database, stopped)


def _what_waits(count: int) -> str:
    if not count:
        return ""
    many = f"{workflows.MOST_FOLLOWED:,} and more jobs" if count >= workflows.MOST_FOLLOWED else ""
    return f"; {many or counted(count)} that waited for it wait{'s' if count == 1 else ''} again"


def _why_not(database: Database, job: JobRow) -> str:
    if job.phase != "done":
        return f"has not ended yet, it is {job.phase}; nothing was changed"
    culprit = workflows.culprit(database, job)
    if culprit is None:
        return f"has already ended as {clean(job.state)}"
    return (
        f"never began, because job {clean(culprit)} came before it and did not succeed: "
        f"run that one again, with `litequeue retry {database.path} {clean(culprit)}`"
    )


def _change_many(database: Database, change: Change, chosen_by: Selection, options: Options) -> int:
    from litequeue.store import bulk

    chosen = bulk.choose(database, change, chosen_by, SYSTEM.now())
    words = WORDS[change.value]
    if chosen.total and not options.dry_run and not options.yes:
        ask(sentence(words, chosen.counts))
    done = 0 if options.dry_run else carry_out(database, chosen)
    report(words, chosen.counts, done, options)
    return 0


def report(words: Words, counts: Mapping[str, int], done: int, options: Options) -> None:
    """Say what was done, or would be."""
    total = sum(counts.values())
    if options.as_json:
        print_json(matched=total, changed=done, dry_run=options.dry_run, counts=dict(counts))
    elif not total:
        say("no job matches")
    elif options.dry_run:
        say(f"would {sentence(words, counts)}")
    else:
        say(f"{counted(done)} {words.done}")


def sentence(words: Words, counts: Mapping[str, int]) -> str:
    """Return "delete 3 jobs (2 ready, 1 scheduled)"."""
    total = counted(sum(counts.values()))
    return f"{words.verb} {total}{words.after} ({breakdown(counts)})"


def ask(what: str, *, can_look: bool = True) -> None:
    """Go on only if somebody says so."""
    if not (sys.stdin.isatty() and is_terminal(sys.stderr)):
        raise click.UsageError(
            f"this would {what}: add --yes to do it{', or --dry-run to look' if can_look else ''} "
            "(nobody is here to be asked)"
        )
    question = f"{what}?"
    if not click.confirm(question[:1].upper() + question[1:], err=True):
        raise Failure("nothing was changed")


def carry_out(database: Database, chosen: Chosen) -> int:
    """Make the change batch by batch; say how far it came when it is interrupted."""
    from litequeue.store import bulk

    done = 0
    batches = bulk.carry_out(database, chosen, now=SYSTEM.now(), keep=keep())
    try:
        for ids, changed in batches:
            done += changed
            ring(database, [] if chosen.change is bulk.Change.RERUN else ids)
    except KeyboardInterrupt:
        note(f"stopped: {counted(done)} {WORDS[chosen.change.value].done} so far")
        raise
    return done


def ring(database: Database, ended: Iterable[str], *, post: bool = False) -> None:
    """Wake who awaits the ``ended`` jobs, or the workers: there is work, or with ``post`` news."""
    from litequeue.store.wakeup import Ringer

    ringer: Ringer = Ringer(database.path, SYSTEM)
    try:
        ids = list(ended)
        if ids:
            ringer.ring_waiters(ids)
        if post or not ids:
            ringer.ring_workers(post=post)
    finally:
        ringer.close()


def keep() -> Keep:
    """Return how long what ends is kept."""
    from litequeue.store import Keep

    conf = pyproject.settings()
    return Keep(success=conf.result_expires, failure=conf.result_failure_expires)
