"""Revoking: who waits ends at once; who runs, and who is not there yet, stands in a list.

A standing revocation ends the job at its next claim, and workers act on those that say
``terminate``.  Workers remember what they have loaded; what they remember is a hint, and the
file is asked before a job ends by it, because a new run of a job clears its revocation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from litequeue import states
from litequeue.job import Lease, stamps_of
from litequeue.store.advance import advance, advance_all
from litequeue.store.connection import Database
from litequeue.store.driver import lenient, sqlite3
from litequeue.store.settle import Keep

STAY: Final = 10_800.0
"""Seconds for which a revocation stands: Celery's REVOKE_EXPIRES."""
MOST: Final = 50_000
"""Revocations that stand at a time: Celery's REVOKES_MAX."""
AT_ONCE: Final = 500
"""Jobs revoked per transaction (10 µs each), revocations deleted per transaction."""
LOOKED_AT_ONCE: Final = 5_000
"""Jobs whose stamps are read at a time (1 µs each): no other thread can read meanwhile."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """A wish that stands: ``value`` is a job's id, or with ``header`` what that stamp holds."""

    id: int
    header: str | None
    value: str
    terminate: bool
    signal: str | None


@dataclass(frozen=True, slots=True)
class Revoked:
    """What revoking did: the ids of jobs that have ended, and of those it stands for.

    ``followed`` are the ids of jobs that ended because they waited for others that have.
    """

    ended: list[str] = field(default_factory=list)
    stands: list[str] = field(default_factory=list)
    followed: list[str] = field(default_factory=list)


REVOKE_AMONG: Final = """
UPDATE litequeue_job SET phase = 'done', state = 'REVOKED', finished = ?, keep_until = ?
WHERE id IN (SELECT value FROM json_each(?)) AND phase <> 'done' AND phase <> 'leased'
RETURNING id
"""
HAVE_ENDED: Final = """
SELECT job.id FROM json_each(?) CROSS JOIN litequeue_job AS job ON job.id = json_each.value
WHERE job.phase = 'done'
"""
# A new number, so that workers hear of it; and what was asked for once is not taken back.
STAND: Final = """
INSERT OR REPLACE INTO litequeue_revocation (value, terminate, signal, at)
SELECT ?1, max(?2, coalesce(max(old.terminate), 0)), coalesce(?3, max(old.signal)), ?4
FROM litequeue_revocation AS old WHERE old.header IS NULL AND old.value = ?1
"""


def revoke(
    database: Database,
    ids: Iterable[str],
    *,
    terminate: bool = False,
    signal: str | None = None,
    now: float,
    keep: Keep,
) -> Revoked:
    """End the jobs that wait as REVOKED; have it stand for those that run or are not known.

    With ``terminate`` whoever runs one is to end it, by ``signal`` ("SIGTERM", …).
    """
    done = Revoked()
    for some in _portions(ids):
        with database.write(durable=True, rows=len(some)) as connection:
            part = revoke_within(
                connection, some, terminate=terminate, signal=signal, now=now, keep=keep
            )
            advanced = advance(connection, now, keep)
        advance_all(database, advanced, now, keep)
        done.ended.extend(part.ended)
        done.stands.extend(part.stands)
        done.followed.extend(advanced.ended)
    return done


def revoke_within(
    connection: sqlite3.Connection,
    ids: Sequence[str],
    *,
    terminate: bool,
    signal: str | None,
    now: float,
    keep: Keep,
) -> Revoked:
    """Do what `revoke` does within the caller's transaction; the ids are different ones."""
    ended = _end_waiting(connection, ids, now, keep)
    over = {row[0] for row in connection.execute(HAVE_ENDED, (json.dumps(ids),))}
    stands = [id for id in ids if id not in over]
    connection.executemany(STAND, [(id, int(terminate), signal, now) for id in stands])
    return Revoked(ended, stands)


def _end_waiting(
    connection: sqlite3.Connection, ids: Sequence[str], now: float, keep: Keep
) -> list[str]:
    row = (now, keep.until(states.REVOKED, now), json.dumps(ids))
    return [id for (id,) in connection.execute(REVOKE_AMONG, row).fetchall()]


def _portions(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(dict.fromkeys(ids))
    while some := list(islice(rest, AT_ONCE)):
        yield some


# By stamp

STAND_FOR_STAMP: Final = """
INSERT OR REPLACE INTO litequeue_revocation (header, value, terminate, signal, at)
SELECT ?1, ?2, max(?3, coalesce(max(old.terminate), 0)), coalesce(?4, max(old.signal)), ?5
FROM litequeue_revocation AS old WHERE old.header = ?1 AND old.value = ?2
"""
OLDEST_UNFINISHED: Final = """
SELECT min(first) FROM (
    SELECT min(seq) AS first FROM litequeue_job WHERE phase = 'ready'
    UNION ALL SELECT min(seq) FROM litequeue_job WHERE phase = 'scheduled'
    UNION ALL SELECT min(seq) FROM litequeue_job WHERE phase = 'parked'
    UNION ALL SELECT min(seq) FROM litequeue_job WHERE phase = 'waiting'
    UNION ALL SELECT min(seq) FROM litequeue_job WHERE phase = 'leased')
"""
STAMPED: Final = """
SELECT job.id, job.phase, payload.options
FROM litequeue_payload AS payload CROSS JOIN litequeue_job AS job ON job.seq = payload.seq
WHERE payload.seq BETWEEN ? AND ? AND instr(payload.options, '"stamps"') AND job.phase <> 'done'
"""
LAST_SEQ: Final = "SELECT coalesce(max(seq), 0) FROM litequeue_job"


def revoke_stamped(
    database: Database,
    header: str,
    values: Iterable[str],
    *,
    terminate: bool = False,
    signal: str | None = None,
    now: float,
    keep: Keep,
) -> Revoked:
    """Do as `revoke` does to all jobs whose stamp ``header`` holds one of ``values``.

    It stands for those that are sent later, too.
    """
    wanted = {header: frozenset(values)}
    rows = [(header, value, int(terminate), signal, now) for value in sorted(wanted[header])]
    with database.write(durable=True, rows=len(rows)) as connection:
        connection.executemany(STAND_FOR_STAMP, rows)
    done = Revoked()
    for found in _unfinished_with_stamps(database):
        bearers = {id: phase for id, phase, options in found if any(borne(options, wanted))}
        waiting = [id for id, phase in bearers.items() if phase != states.LEASED]
        for some in _portions(waiting):
            with database.write(durable=True, rows=len(some)) as connection:
                done.ended.extend(_end_waiting(connection, some, now, keep))
                advanced = advance(connection, now, keep)
            advance_all(database, advanced, now, keep)
            done.followed.extend(advanced.ended)
        done.stands.extend(id for id, phase in bearers.items() if phase == states.LEASED)
    return done


def _unfinished_with_stamps(database: Database) -> Iterator[list[tuple[str, str, str]]]:
    """Yield (id, phase, options) of all jobs that may be meant, some at a time."""
    with database.read() as connection:
        first = connection.execute(OLDEST_UNFINISHED).fetchone()[0]
        last = connection.execute(LAST_SEQ).fetchone()[0]
    if first is None:
        return
    for start in range(first, last + 1, LOOKED_AT_ONCE):
        span = (start, start + LOOKED_AT_ONCE - 1)
        with database.read() as connection, lenient(connection):
            found = connection.execute(STAMPED, span).fetchall()
        yield found  # without the reader: the caller's commit may be followed by a checkpoint


def borne(options: str | None, stamps: Mapping[str, Set[str]]) -> Iterator[tuple[str, str]]:
    """Yield those of ``stamps`` (header, value) that a job with these options (JSON) has."""
    for header, values in stamps_of(options).items():
        for value in values & stamps.get(header, frozenset()):
            yield header, value


# What stands

LOAD: Final = """
SELECT id, header, value, terminate, signal FROM litequeue_revocation
WHERE id > ? AND (at > ? OR header IS NULL) ORDER BY id
"""


def load(database: Database, after: int, now: float) -> list[Revocation]:
    """Return the revocations after number ``after`` that stand."""
    with database.read() as connection:
        return _load(connection, after, now)


def _load(connection: sqlite3.Connection, after: int, now: float) -> list[Revocation]:
    with lenient(connection):
        rows = connection.execute(LOAD, (after, now - STAY)).fetchall()
    return [
        Revocation(id, header, value, bool(terminate), signal)
        for id, header, value, terminate, signal in rows
    ]


STANDS: Final = "SELECT 1 FROM litequeue_revocation WHERE header IS NULL AND value = ?"
STANDS_FOR_STAMP: Final = "SELECT 1 FROM litequeue_revocation WHERE header = ? AND value = ?"


def revoked_among(
    connection: sqlite3.Connection,
    leases: Iterable[Lease],
    *,
    ids: Set[str],
    stamps: Mapping[str, Set[str]],
    after: int | None,
    now: float,
) -> list[Lease]:
    """Return the leases that stand revoked.

    ``ids`` and ``stamps`` are what the worker remembers; what came ``after`` (None: nothing) is
    looked up.
    """
    newer = [] if after is None else _load(connection, after, now)
    if newer:
        ids = ids | {each.value for each in newer if each.header is None}
        stamps = with_stamps(stamps, newer)
    if not ids and not stamps:
        return []
    return [each for each in leases if _is_revoked(connection, each, ids, stamps)]


def with_stamps(
    stamps: Mapping[str, Set[str]], more: Iterable[Revocation]
) -> dict[str, frozenset[str]]:
    """Return ``stamps`` with those of revocations added."""
    found = {header: frozenset(values) for header, values in stamps.items()}
    for each in more:
        if each.header is not None:
            found[each.header] = found.get(each.header, frozenset()) | {each.value}
    return found


def _is_revoked(
    connection: sqlite3.Connection, lease: Lease, ids: Set[str], stamps: Mapping[str, Set[str]]
) -> bool:
    if lease.id in ids and connection.execute(STANDS, (lease.id,)).fetchone():
        return True
    return bool(stamps) and any(
        connection.execute(STANDS_FOR_STAMP, stamp).fetchone()
        for stamp in borne(lease.options, stamps)
    )


# Forgetting

CLEAR: Final = "DELETE FROM litequeue_revocation WHERE header IS NULL AND value = ?"
OUTDATED: Final = """
SELECT id FROM litequeue_revocation AS revocation
WHERE at <= ? AND (header IS NOT NULL OR NOT EXISTS (
    SELECT 1 FROM litequeue_job AS job WHERE job.id = revocation.value AND job.phase <> 'done'))
LIMIT ?
"""
SURPLUS: Final = "SELECT id FROM litequeue_revocation ORDER BY id DESC LIMIT ? OFFSET ?"
FORGET: Final = "DELETE FROM litequeue_revocation WHERE id = ?"


def prune(database: Database, now: float) -> None:
    """Delete revocations whose time is over, unless their job has not ended; and the surplus."""
    with database.read() as connection:
        rows = connection.execute(OUTDATED, (now - STAY, AT_ONCE)).fetchall()
        rows += connection.execute(SURPLUS, (AT_ONCE, MOST)).fetchall()
    if rows:
        with database.write(durable=False, rows=len(rows) // 4) as connection:
            connection.executemany(FORGET, rows)
