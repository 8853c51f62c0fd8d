"""Entries in the queue file: found by name, whoever defines them, and who would send them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from litequeue.cli.entry_facts import LATE, VERY_LATE, may_be_blocked, overdue, owner_of, read
from litequeue.cli.entry_output import Blocking, announce
from litequeue.cli.failure import FAILED, NO_SUCH_THING, Failure
from litequeue.cli.output import note
from litequeue.cli.queue_file import has_live_worker, nobody_works
from litequeue.clock import SYSTEM
from litequeue.nearest import did_you_mean
from litequeue.states import LEASED

if TYPE_CHECKING:
    from litequeue.store import Database
    from litequeue.store.entries import EntryRecord


def find_entries(database: Database, names: Iterable[str]) -> list[EntryRecord]:
    """Return the entries with these names, all of them; raises `Failure`."""
    from litequeue.exceptions import EntryNotFound
    from litequeue.store import entries

    try:
        return [entries.get(database, name) for name in names]
    except EntryNotFound as error:
        known = [record.entry.name for record in entries.listed(database)]
        raise Failure(
            f"no entry {error.name!r} in {database.path}{did_you_mean(error.name, known)}; "
            f"see `litequeue schedule {database.path}`",
            code=NO_SUCH_THING,
        ) from None


def check_ours(database: Database, records: Iterable[EntryRecord]) -> None:
    """Raise `Failure` for an entry that code defines: the next deploy would undo the change."""
    for record in records:
        if record.owner is not None:
            how = f"litequeue schedule {database.path} pause {shlex.quote(record.entry.name)}"
            raise Failure(
                f"{record.entry.name!r} is defined by the {owner_of(record)}: change it there, or "
                f"stop it with `{how}`",
                code=FAILED,
            )


def check_removable(records: Iterable[EntryRecord]) -> None:
    """Raise `Failure` for an entry that code defines: that code would bring it back."""
    for record in records:
        if record.owner is not None:
            raise Failure(
                f"{record.entry.name!r} is defined by the {owner_of(record)}: change it there, "
                "or, if that app is gone, add --force",
                code=FAILED,
            )


def blocking_run(database: Database, record: EntryRecord) -> Blocking | None:
    """Return the run that keeps an entry from being sent until it ends, None where none does."""
    from litequeue.store import listing

    if record.last_job is None or not may_be_blocked(record):
        return None
    for job in listing.find(database, record.last_job, limit=1):
        how = shlex.join(["litequeue", "revoke", database.path, job.id])
        return Blocking(job, f"{how} --terminate" if job.phase == LEASED else how)
    return None


def is_there(database: Database, record: EntryRecord) -> str:
    """Say that a name is taken, and what to do."""
    name = record.entry.name
    if record.owner is not None:
        return f"{name!r} is defined by the {owner_of(record)}; choose another name"
    how = f"litequeue schedule {database.path} edit {shlex.quote(name)}"
    return f"there is an entry {name!r} already; change it with `{how}`, or choose another name"


def ring(database: Database) -> None:
    """Have those who sleep look at the entries anew."""
    from litequeue.store.wakeup import Ringer

    ringer = Ringer(database.path, SYSTEM)
    ringer.ring_workers()
    ringer.close()


def tell(database: Database, name: str, done: str, *, as_json: bool) -> None:
    """Say what became of an entry that was written, and see that it is sent."""
    ring(database)
    (record,) = find_entries(database, [name])
    if record.paused is None:
        warn_if_nobody(database, [name], done)
    announce(record, done, SYSTEM.now(), as_json=as_json)


def warn_of_overdue(database: Database, records: Sequence[EntryRecord], now: float) -> None:
    """Say that entries are overdue because nobody is there to send them."""
    since = {record.entry.name: overdue(record, now) or now for record in records}
    late = sum(1 for moment in since.values() if moment < now - LATE)
    if not late:
        return
    if not has_live_worker(database):
        note(f"litequeue: {_entries(late)} overdue, and {nobody_works(database.path)}")
        return
    unsent = sum(
        1
        for record in records
        if since[record.entry.name] < now - VERY_LATE and read(record.entry) is not None
    )
    if unsent:
        note(
            f"litequeue: {_entries(unsent)} overdue, and no worker that is alive sends what "
            f"is due (--no-beat?); start `litequeue beat {database.path}`, or a worker without it"
        )


def _entries(count: int) -> str:
    return "1 entry is" if count == 1 else f"{count:,} entries are"


def warn_if_nobody(database: Database, names: Sequence[str], done: str) -> None:
    """Say that an entry waits for a worker, which sends what is due and runs it."""
    if names and not has_live_worker(database):
        note(f"litequeue: {', '.join(names)} {done}, but {nobody_works(database.path)}")
