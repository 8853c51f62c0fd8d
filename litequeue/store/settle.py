"""Settling: the verdicts of attempts, written with the token of their lease.

A row whose token no longer matches belongs to somebody else: its outcome is a zombie's and
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litequeue import states
from litequeue.exceptions import DuplicateJob
from litequeue.job import Failure, Lease, Outcome
from litequeue.store.driver import sqlite3
from litequeue.store.errors import sqlite_error
from litequeue.store.sequels import Followed, follow


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many seconds finished jobs stay: succeeded ones, and the others."""

    success: float
    failure: float

    def until(self, state: str, now: float) -> float:
        """Return the time after which a job that ended in ``state`` may be pruned."""
        return now + (self.failure if state == states.FAILURE else self.success)


ROW: Final = 1024
"""Bytes that count as one row towards the next checkpoint."""
# With ABORT, the default, SQLite copies each page first, to be able to take back what the trigger
# did: a seventh of the time.  Here the whole transaction is taken back, or its savepoint.
SETTLE: Final = """
UPDATE OR FAIL litequeue_job
SET phase = 'done', state = ?, result = ?, started = ?, runtime = ?, finished = ?, keep_until = ?,
    token = NULL
WHERE seq = ? AND token = ?
"""
SETTLE_RETRY: Final = """
UPDATE litequeue_job
SET phase = ?, state = 'RETRY', eta = ?, retries = max(retries, 0) + ?, once = 0, result = NULL,
    started = NULL, pid = NULL, owner = NULL, token = NULL
WHERE seq = ? AND token = ?
"""
# The new arguments hold what a job was given by those before it.
CHANGE_BODY: Final = """
UPDATE litequeue_payload
SET body = ?,
    options = CASE WHEN (instr(options, '"given') OR instr(options, '"failed"'))
                        AND json_valid(options)
              THEN json_remove(options, '$.given', '$.given_by', '$.failed') ELSE options END
WHERE seq = ?
"""
MOVE: Final = """
UPDATE litequeue_job
SET queue = coalesce(?, queue), priority = coalesce(?, priority), expires = coalesce(?, expires)
WHERE seq = ?
"""
ADD_ITS_QUEUE: Final = """
INSERT OR IGNORE INTO litequeue_queue (name) SELECT queue FROM litequeue_job WHERE seq = ?
"""
ADD_ERROR: Final = """
INSERT OR REPLACE INTO litequeue_error
    (job, claim, at, state, type, message, args, traceback, evidence)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ADD_LOG: Final = "INSERT OR REPLACE INTO litequeue_log (job, claim, text) VALUES (?, ?, ?)"
MARK_STARTED: Final = """
UPDATE litequeue_job
SET state = CASE state WHEN 'RECEIVED' THEN 'STARTED' ELSE state END, started = ?, pid = ?
WHERE seq = ? AND token = ?
"""


class LeaseLost(Exception):
    """Some outcome's lease was lost: the transaction is done again, row by row."""


def weight(outcome: Outcome) -> int:
    """Return how many rows' worth of the WAL an outcome takes."""
    size = len(outcome.result or "") + len(outcome.log or "") + len(outcome.sequel or "")
    return 1 + size // ROW


def settle(
    connection: sqlite3.Connection,
    outcomes: Sequence[Outcome],
    now: float,
    keep: Keep,
    *,
    careful: bool,
) -> list[int]:
    """Write the verdicts; return the seqs whose lease was lost.

    Raises `LeaseLost`, or SQLite's word on a value it cannot take, for the caller to try again
    ``careful``ly: row by row, with FAILURE for an outcome that cannot be written as it is.
    """
    if careful:
        return sorted(o.seq for o in outcomes if not _settle_one(connection, o, now, keep))
    ending = [o for o in outcomes if o.sequel is None or _ends(connection, o, now)]
    ends = [_end_row(o, now, keep) for o in ending if o.state != states.RETRY]
    retries = [_retry_row(o, now) for o in ending if o.state == states.RETRY]
    for statement, rows in ((SETTLE, ends), (SETTLE_RETRY, retries)):
        if rows and connection.executemany(statement, rows).rowcount != len(rows):
            raise LeaseLost
    for outcome in outcomes:
        if outcome.failure or outcome.log or outcome.body or outcome.moves:
            _write_rest(connection, outcome, now)
    return []


def _ends(connection: sqlite3.Connection, outcome: Outcome, now: float) -> bool:
    """Store what the job hands on; False when it goes on as another one."""
    followed = follow(connection, outcome, now)
    if followed is Followed.LOST:
        raise LeaseLost
    return followed is Followed.ENDS


def _settle_one(connection: sqlite3.Connection, outcome: Outcome, now: float, keep: Keep) -> bool:
    connection.execute("SAVEPOINT litequeue_outcome")
    try:
        return _write_one(connection, outcome, now, keep)
    except Exception as error:
        if not is_about_a_value(error):
            raise
        connection.execute("ROLLBACK TO litequeue_outcome")
        reason = Failure("ValueError", f"the outcome cannot be stored: {error}")
        spoilt = Outcome(outcome.seq, outcome.token, outcome.claim, states.FAILURE, failure=reason)
        return _write_one(connection, spoilt, now, keep)
    finally:
        connection.execute("RELEASE litequeue_outcome")


def _write_one(connection: sqlite3.Connection, outcome: Outcome, now: float, keep: Keep) -> bool:
    followed = Followed.ENDS if outcome.sequel is None else follow(connection, outcome, now)
    if followed is not Followed.ENDS:
        if followed is Followed.GOES_ON:
            _write_rest(connection, outcome, now)
        return followed is Followed.GOES_ON
    if outcome.state == states.RETRY:
        cursor = connection.execute(SETTLE_RETRY, _retry_row(outcome, now))
    else:
        cursor = connection.execute(SETTLE, _end_row(outcome, now, keep))
    if cursor.rowcount:
        _write_rest(connection, outcome, now)
    return bool(cursor.rowcount)


def _write_rest(connection: sqlite3.Connection, outcome: Outcome, now: float) -> None:
    if outcome.failure is not None:
        connection.execute(ADD_ERROR, error_row(outcome, outcome.failure, now))
    if outcome.log is not None:
        # What a program prints may be no text, and is no reason to fail.
        text = outcome.log.encode("utf-8", "replace").decode()
        connection.execute(ADD_LOG, (outcome.seq, outcome.claim, text))
    if outcome.body is not None:
        connection.execute(CHANGE_BODY, (outcome.body, outcome.seq))
    if outcome.moves is not None:
        connection.execute(MOVE, (*outcome.moves, outcome.seq))
        connection.execute(ADD_ITS_QUEUE, (outcome.seq,))


def is_about_a_value(error: BaseException) -> bool:
    """Tell whether ``error`` is about a value that cannot be stored, not about the file."""
    cause = sqlite_error(error.__cause__ or error)
    kinds = (sqlite3.IntegrityError, sqlite3.DataError)
    wrong = OverflowError | ValueError | DuplicateJob
    return isinstance(error, wrong) or isinstance(cause, kinds)


def _end_row(outcome: Outcome, now: float, keep: Keep) -> tuple[Any, ...]:
    return (
        outcome.state, outcome.result, outcome.started or None,
        outcome.runtime if outcome.started else None, now,
        keep.until(outcome.state, now), outcome.seq, outcome.token,
    )  # fmt: skip


def _retry_row(outcome: Outcome, now: float) -> tuple[Any, ...]:
    due = outcome.eta is None or outcome.eta <= now
    phase = states.READY if due else states.SCHEDULED
    return phase, outcome.eta, int(outcome.counted), outcome.seq, outcome.token


def error_row(outcome: Outcome, failure: Failure, now: float) -> tuple[Any, ...]:
    """Return the parameters of `ADD_ERROR`."""
    return (
        outcome.seq, outcome.claim, now, outcome.state, failure.type, failure.message,
        failure.args, failure.traceback, failure.evidence,
    )  # fmt: skip


def end(
    connection: sqlite3.Connection,
    leases: Iterable[Lease],
    state: str,
    failure: Failure,
    *,
    now: float,
    keep: Keep,
    started: float | None = None,
) -> list[Lease]:
    """End jobs with one verdict; return those whose lease still held.

    ``started`` is when they began to run, None for never.
    """
    ended: list[Lease] = []
    runtime = 0.0 if started is None else max(0.0, now - started)
    for lease in leases:
        outcome = Outcome(
            lease.seq, lease.token, lease.claim, state, None, started or 0.0, runtime,
            failure=failure,
        )  # fmt: skip
        if connection.execute(SETTLE, _end_row(outcome, now, keep)).rowcount:
            connection.execute(ADD_ERROR, error_row(outcome, failure, now))
            ended.append(lease)
    return ended
