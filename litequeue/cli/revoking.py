"""``litequeue revoke``: call jobs off, by their ids, by filter or by stamp."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from litequeue import states
from litequeue.cli.changes import (
    WORDS,
    Options,
    ask,
    bulk_options,
    carry_out,
    check_which,
    find_all,
    keep,
    report,
    ring,
    sentence,
    several,
    taken_out,
)
from litequeue.cli.control import stamps_in
from litequeue.cli.output import clean, counted, note, print_json, say
from litequeue.cli.parameters import Command, Name, database_argument
from litequeue.cli.queue_file import check_queues, find_job_or_group, opened
from litequeue.cli.selection import selection
from litequeue.clock import SYSTEM
from litequeue.flow import Group

if TYPE_CHECKING:
    from litequeue.store import Database
    from litequeue.store.listing import JobRow, Selection
    from litequeue.store.revocations import Revoked

MOST_RUNNING: Final = 100_000
"""Running jobs that one command ends: more than a file's workers have."""


@dataclass(frozen=True, slots=True)
class How:
    """What becomes of jobs that run; ``signal`` is a full name, None without ``terminate``."""

    terminate: bool
    signal: str | None


@click.command(cls=Command, example="litequeue revoke jobs.sqlite 019a3f")
@database_argument
@several
@click.option("--workflow", is_flag=True,
              help="All that is left of the workflows of these jobs, or groups.")  # fmt: skip
@click.option("--stamp", "stamps", multiple=True, type=Name(), metavar="KEY=VALUE",
              help="All jobs with this stamp, now and later; several are allowed.")  # fmt: skip
@click.option("--terminate", is_flag=True, help="Also end those that run.")
@click.option("--signal", type=Name(), metavar="NAME",
              help="By which signal (default: SIGTERM).")  # fmt: skip
@bulk_options
@click.pass_context
def revoke(ctx: click.Context, /, db: str, ids: tuple[str, ...], **given: Any) -> int:
    """Call off jobs.

    Those that wait end as REVOKED, with all steps that wait for them.  One that runs goes on and
    is not run again, unless --terminate ends it.  An ID may be abbreviated.
    """
    options = taken_out(given)
    how = _how(ctx, terminate=given.pop("terminate"), signal=given.pop("signal"))
    stamps, workflow = given.pop("stamps"), given.pop("workflow")
    if stamps:
        return _by_stamps(ctx, db, stamps, how, options, others=[ids, workflow, *given.values()])
    check_which(ctx, ids, given)
    if workflow and not ids:
        raise click.UsageError("--workflow goes with the id of a job or group of it", ctx)
    with opened(db) as database:
        if workflow:
            return _by_workflows(database, ids, how, options)
        if ids:
            return _by_ids(database, ids, how, options)
        chosen_by = selection(**given)
        check_queues(database, chosen_by.queues)
        return _by_filter(database, chosen_by, how, options)


def _how(ctx: click.Context, *, terminate: bool, signal: str | None) -> How:
    from litequeue.result.revoking import signal_name

    if signal is not None and not terminate:
        raise click.UsageError("--signal says how to end what runs: add --terminate", ctx)
    try:
        return How(terminate, signal_name(signal) if terminate else None)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from None


def _revoke(database: Database, ids: Iterable[str], how: How) -> Revoked:
    from litequeue.store import revocations

    done = revocations.revoke(
        database, ids, terminate=how.terminate, signal=how.signal, now=SYSTEM.now(), keep=keep()
    )
    ring(database, [*done.ended, *done.followed], post=True)
    return done


def _by_ids(database: Database, ids: Iterable[str], how: How, options: Options) -> int:
    """Revoke jobs by their ids; all are found before one is revoked."""
    found = find_all(database, ids, of_group="add --workflow to revoke all that is left of it")
    if options.dry_run:
        for job in found if not options.as_json else ():
            say(f"would revoke {job.id} ({job.task}, {job.state})")
        if options.as_json:
            print_json(matched=len(found), changed=0, dry_run=True, ids=[], running=[])
        return 0
    done = _revoke(database, [job.id for job in found], how)
    if options.as_json:
        print_json(
            matched=len(found), changed=len(done.ended), dry_run=False, ids=done.ended,
            running=done.stands, followed=done.followed,
        )  # fmt: skip
    over = [job for job in found if job.id not in done.ended and job.id not in done.stands]
    for job in over:
        note(f"litequeue: job {job.id} has already ended as {clean(job.state)}")
    for job in found if not options.as_json else ():
        if job not in over:
            say(f"{job.id} {'revoked' if job.id in done.ended else _what_runs(how)}")
    if done.followed and not options.as_json:
        say(f"{counted(len(done.followed))} that waited for it revoked, too")
    return 1 if over else 0


def _by_workflows(database: Database, words: Iterable[str], how: How, options: Options) -> int:
    """Revoke what has not ended of workflows; all are found before one is changed."""
    from litequeue.store import workflows as stored

    ids = [*dict.fromkeys(_job_or_group(database, word) for word in words)]
    if options.dry_run:
        total = len({number for id in ids for number in stored.jobs_of(database, id)})
        if options.as_json:
            print_json(matched=total, changed=0, dry_run=True, ids=[], running=[])
        else:
            say(f"would revoke what has not ended of {counted(total)}")
        return 0
    ended: list[str] = []
    running: list[str] = []
    for id in ids:
        done = stored.revoke(
            database, id, terminate=how.terminate, signal=how.signal, now=SYSTEM.now(), keep=keep()
        )
        if not (done.ended or done.followed or done.stands or id in ended):
            note(f"litequeue: nothing is left of the workflow of {clean(id)}")
        ended += [*done.ended, *done.followed]
        running += done.stands
    ring(database, ended, post=True)
    if options.as_json:
        print_json(
            matched=len(ended) + len(running), changed=len(ended), dry_run=False, ids=ended,
            running=running,
        )  # fmt: skip
        return 0 if ended or running else 1
    say(f"{counted(len(ended))} revoked")
    for id in running:
        say(f"{id} {_what_runs(how)}")
    return 0 if ended or running else 1


def _job_or_group(database: Database, word: str) -> str:
    found = find_job_or_group(database, word)
    return found.name if isinstance(found, Group) else found.id


def _what_runs(how: How) -> str:
    if how.terminate:
        return f"is running; {how.signal} ends it"
    return "is running; it will not run again (--terminate ends it)"


def _by_filter(database: Database, chosen_by: Selection, how: How, options: Options) -> int:
    from litequeue.store import bulk

    chosen = bulk.choose(database, bulk.Change.REVOKE, chosen_by, SYSTEM.now())
    running = _running(database, chosen_by) if how.terminate else []
    counts = {**chosen.counts, **({"running": len(running)} if running else {})}
    words = WORDS["revoke"]
    if counts and not options.dry_run and not options.yes:
        ask(sentence(words, counts))
    done = 0
    if not options.dry_run:
        done = carry_out(database, chosen)
        # Again, for some have been started since they were counted; but none that came later.
        last = max([chosen.last, *(job.seq for job in running)])
        running = _running(database, chosen_by) if how.terminate else []
        meant = [job.id for job in running if job.seq <= last]
        if meant:
            done += len(_revoke(database, meant, how).stands)
    report(words, counts, done, options)
    return 0


def _running(database: Database, chosen_by: Selection) -> list[JobRow]:
    """Return the jobs that run and match."""
    from litequeue.store import listing

    leased = dataclasses.replace(chosen_by, phases=(states.LEASED,), states=())
    found = listing.jobs(database, leased, limit=MOST_RUNNING)
    if not (chosen_by.phases or chosen_by.states) or states.LEASED in chosen_by.phases:
        return found
    return [job for job in found if job.state in chosen_by.states]


def _by_stamps(
    ctx: click.Context,
    db: str,
    words: Iterable[str],
    how: How,
    options: Options,
    *,
    others: Iterable[object],
) -> int:
    from litequeue.store import revocations

    if options.dry_run or any(other not in ((), None, False) for other in others):
        raise click.UsageError("--stamp goes with no id, filter or --dry-run", ctx)
    try:
        stamps = stamps_in(words)
    except ValueError as error:
        raise click.UsageError(str(error), ctx) from None
    with opened(db) as database:
        if not options.yes:
            ask(
                f"revoke all jobs with the stamp {' or '.join(words)}, now and later",
                can_look=False,
            )
        ended: list[str] = []
        running: list[str] = []
        for header, values in stamps.items():
            done = revocations.revoke_stamped(
                database, header, values, terminate=how.terminate, signal=how.signal,
                now=SYSTEM.now(), keep=keep(),
            )  # fmt: skip
            ended += [*done.ended, *done.followed]
            running += done.stands
        ring(database, ended, post=True)
    if options.as_json:
        print_json(changed=len(ended), ids=ended, running=running)
        return 0
    say(f"{counted(len(ended))} revoked")
    for id in running:
        say(f"{id} {_what_runs(how)}")
    return 0
