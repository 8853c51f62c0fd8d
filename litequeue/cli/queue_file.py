"""Opening the queue file of a command, and finding jobs and workers in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from litequeue.cli import pyproject
from litequeue.cli.failure import NO_SUCH_THING, Failure
from litequeue.cli.output import clean
from litequeue.clock import SYSTEM
from litequeue.nearest import did_you_mean

if TYPE_CHECKING:
    from litequeue.flow import Group
    from litequeue.store import Database
    from litequeue.store.listing import JobRow
    from litequeue.store.workers import Owner
    from litequeue.worker.liveness import Life


@contextlib.contextmanager
def opened(db: str) -> Iterator[Database]:
    """Open a queue that is there; raises `StoreError` where there is none."""
    from litequeue.store import Database

    conf = pyproject.settings()
    database = Database(
        db, durability=conf.durability, busy_timeout=conf.queue_busy_timeout, create=False
    )
    try:
        yield database
    finally:
        database.close()


def check_queues(database: Database, names: Iterable[str]) -> None:
    """Raise `Failure` for a queue that no job was ever sent to."""
    from litequeue.store import listing

    known = listing.queue_names(database)
    for name in names:
        if name not in known:
            raise Failure(
                f"no queue {name!r} in {database.path}{did_you_mean(name, known)}; "
                f"see `litequeue queues {database.path}`",
                code=NO_SUCH_THING,
            )


def find_job(database: Database, text: str) -> JobRow:
    """Return the job that ``text`` names or abbreviates; raises `Failure`."""
    from litequeue.store import listing

    found = listing.find(database, text)
    if len(found) == 1:
        return found[0]
    raise _not_one(database, text, found)


def find_job_or_group(database: Database, text: str) -> JobRow | Group:
    """Return the job or group that ``text`` names or abbreviates; raises `Failure`."""
    from litequeue.store import flows, listing

    found, names = listing.find_with_groups(database, text)
    if len(found) + len(names) != 1:
        raise _not_one(database, text, found, names)
    group = flows.group(database, names[0]) if names else None
    return found[0] if group is None else group


def _not_one(
    database: Database, text: str, found: Sequence[JobRow], names: Sequence[str] = ()
) -> Failure:
    from litequeue.store import listing

    if not found and not names:
        return Failure(
            f"no job {text!r} in {database.path}: never enqueued here, pruned, or forgotten; "
            f"see `litequeue jobs {database.path}`",
            code=NO_SUCH_THING,
        )
    which = [f"{job.id} ({clean(job.task)}, {job.state})" for job in found]
    which += [f"{clean(name)} (a group)" for name in names]
    more = " and more" if max(len(found), len(names)) >= listing.MOST_FOUND else ""
    return Failure(
        f"{text!r} may be {', '.join(which)}{more}; say more of the id", code=NO_SUCH_THING
    )


def lives(database: Database, worker: Owner) -> Life:
    """Say whether a worker lives: by proof, else by its heartbeat."""
    from litequeue.worker.liveness import Life, judge

    life = judge(worker.identity)
    if life is Life.UNSEEN:
        silent = SYSTEM.now() - worker.heartbeat
        return Life.ALIVE if silent < pyproject.settings().visibility_timeout else Life.UNSEEN
    return life


def has_live_worker(database: Database) -> bool:
    """Tell whether anybody is there to run a job."""
    from litequeue.store import workers
    from litequeue.worker.liveness import Life

    return any(lives(database, worker) is Life.ALIVE for worker in workers.owners(database))


def nobody_works(path: str) -> str:
    """Say how to start a worker."""
    return f"no worker is alive; start one with `litequeue worker {path} -A MODULE:APP`"
