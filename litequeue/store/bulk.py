"""What people change in bulk: run again, revoke, delete.

A change is counted first, and then made to what was counted, never to more.  It is made in
batches of `BATCH` jobs, each its own transaction, so that the others go on meanwhile.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from peewee import Expression, fn

from litequeue import states
from litequeue.store.advance import advance, advance_all
from litequeue.store.connection import Database
from litequeue.store.driver import sqlite3
from litequeue.store.jobs import RERUN
from litequeue.store.listing import WAITING, Selection, lenient
from litequeue.store.maintenance import PRUNE_ALL
from litequeue.store.models import Job
from litequeue.store.settle import Keep

BATCH: Final = 200
"""Jobs changed per transaction (20 to 40 µs each), so that nobody waits long behind it."""


class Change(enum.Enum):
    """What is done to many jobs."""

    RERUN = "rerun"
    REVOKE = "revoke"
    PURGE = "purge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The jobs of a change as they were counted: nothing that comes later is among them.

    ``counts`` are by state where finished jobs are meant, else by phase.
    """

    change: Change
    selection: Selection
    counts: Mapping[str, int]
    last: int
    before: float

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.counts.values())


def choose(database: Database, change: Change, selection: Selection, now: float) -> Chosen:
    """Count the jobs that ``change`` would be made to."""
    column = Job.state if change is Change.RERUN else Job.phase
    query = (
        Job.select(column, fn.COUNT(Job.seq), fn.MAX(Job.seq))
        .where(*selection.conditions(), *_may_be(change, now))
        .group_by(column)
        .tuples()
    )
    with lenient(database) as (peewee, _):
        rows = list(query.execute(peewee))
    return Chosen(
        change=change,
        selection=selection,
        counts={name: count for name, count, _ in rows},
        last=max((last for _, _, last in rows), default=0),
        before=now,
    )


def carry_out(
    database: Database, chosen: Chosen, *, now: float, keep: Keep
) -> Iterator[tuple[list[str], int]]:
    """Make the change, batch by batch; yield the ids of each and how many of them it changed.

    With the ids are those of jobs that ended because they waited for others of a workflow.

    Jobs that were not there when they were counted, or have moved on since, are left alone, and
    no job is changed twice, however soon it comes back.
    """
    after: int | None = None
    left = chosen.total
    while left > 0:
        rows = _next_batch(database, chosen, after, min(BATCH, left))
        if not rows:
            return
        after, left = rows[-1][0], left - len(rows)
        followed, changed = _apply(database, chosen.change, rows, now, keep)
        yield [*(id for _, id in rows), *followed], changed


def _next_batch(
    database: Database, chosen: Chosen, after: int | None, limit: int
) -> list[tuple[int, str]]:
    query = (
        Job.select(Job.seq, Job.id)
        .where(
            *(() if after is None else (Job.seq > after,)),
            Job.seq <= chosen.last,
            *chosen.selection.conditions(),
            *_may_be(chosen.change, chosen.before),
        )
        .order_by(Job.seq)
        .limit(limit)
        .tuples()
    )
    with lenient(database) as (peewee, _):
        return list(query.execute(peewee))


def _may_be(change: Change, before: float) -> tuple[Expression, ...]:
    if change is Change.RERUN:
        return Job.phase == states.DONE, Job.state != states.SUCCESS, Job.finished <= before
    return (Job.phase.in_(WAITING),)


# By number, because an id that is no UTF-8 cannot be said again.
RERUN_IT: Final = RERUN.replace("WHERE id = ?", "WHERE seq = ?")
CLEAR_IT: Final = """
DELETE FROM litequeue_revocation
WHERE header IS NULL AND value IN (
    SELECT id FROM litequeue_job WHERE seq = ? AND phase IN ('ready', 'waiting'))
"""
REVOKE_IT: Final = """
UPDATE litequeue_job SET phase = 'done', state = 'REVOKED', finished = ?, keep_until = ?
WHERE seq = ? AND phase <> 'done' AND phase <> 'leased'
"""
STILL_WAITING: Final = """
SELECT seq FROM litequeue_job WHERE seq IN (SELECT value FROM json_each(?))
AND phase <> 'done' AND phase <> 'leased'
"""


def _apply(
    database: Database,
    change: Change,
    rows: Sequence[tuple[int, str]],
    now: float,
    keep: Keep,
) -> tuple[list[str], int]:
    with database.write(durable=True, rows=len(rows)) as connection:
        changed = _change(connection, change, [seq for seq, _ in rows], now, keep)
        advanced = advance(connection, now, keep)
    advance_all(database, advanced, now, keep)
    return advanced.ended, changed


def _change(
    connection: sqlite3.Connection, change: Change, seqs: Sequence[int], now: float, keep: Keep
) -> int:
    numbers = [(seq,) for seq in seqs]
    if change is Change.RERUN:
        changed = connection.executemany(RERUN_IT, numbers).rowcount
        connection.executemany(CLEAR_IT, numbers)
        return changed
    if change is Change.REVOKE:
        until = keep.until(states.REVOKED, now)
        ends = [(now, until, seq) for seq in seqs]
        return connection.executemany(REVOKE_IT, ends).rowcount
    waiting = connection.execute(STILL_WAITING, (json.dumps(seqs),)).fetchall()
    for statement in PRUNE_ALL:
        connection.executemany(statement, waiting)
    return len(waiting)
