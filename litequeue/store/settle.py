"""Settling: the verdicts of attempts, written with the token of their lease.

A row whose token no longer matches belongs to somebody else: its outcome is a zombie's and
changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from litequeue import states
from litequeue.job import Failure, Lease, Outcome
from litequeue.store.driver import sqlite3


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How many seconds finished jobs stay: succeeded ones, and the others."""

    success: float
    failure: float

    def until(self, state: str, now: float) -> float:
        """Return the time after which a job that ended in ``state`` may be pruned."""
        return now + (self.failure if state == states.FAILURE else self.success)


SETTLE: Final = """
UPDATE litequeue_job
SET phase = 'done', state = ?, result = ?, started = ?, runtime = ?, finished = ?, keep_until = ?,
    token = NULL
WHERE seq = ? AND token = ?
"""
SETTLE_RETRY: Final = """
UPDATE litequeue_job
SET phase = ?, state = 'RETRY', eta = ?, retries = retries + ?, started = NULL, pid = NULL,
    owner = NULL, token = NULL
WHERE seq = ? AND token = ?
"""
CHANGE_BODY: Final = "UPDATE litequeue_payload SET body = ? WHERE seq = ?"
ADD_ERROR: Final = """
INSERT OR REPLACE INTO litequeue_error (job, claim, at, state, type, message, args, traceback)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
MARK_STARTED: Final = """
UPDATE litequeue_job SET state = 'STARTED', started = ?, pid = ? WHERE seq = ? AND token = ?
"""


class LeaseLost(Exception):
    """Some outcome's lease was lost: the transaction is done again, row by row."""


def settle(
    connection: sqlite3.Connection,
    outcomes: Sequence[Outcome],
    now: float,
    keep: Keep,
    *,
    careful: bool,
) -> list[int]:
    """Write the verdicts; return the seqs whose lease was lost (only when ``careful``)."""
    ends = [outcome for outcome in outcomes if outcome.state != states.RETRY]
    retries = [outcome for outcome in outcomes if outcome.state == states.RETRY]
    lost = _write(connection, SETTLE, ends, [_end_row(o, now, keep) for o in ends], careful)
    lost |= _write(
        connection, SETTLE_RETRY, retries, [_retry_row(o, now) for o in retries], careful
    )
    for outcome in outcomes:
        if outcome.seq in lost:
            continue
        if outcome.failure is not None:
            connection.execute(ADD_ERROR, error_row(outcome, outcome.failure, now))
        if outcome.body is not None:
            connection.execute(CHANGE_BODY, (outcome.body, outcome.seq))
    return sorted(lost)


def _write(
    connection: sqlite3.Connection,
    statement: str,
    outcomes: Sequence[Outcome],
    rows: Sequence[tuple[Any, ...]],
    careful: bool,
) -> set[int]:
    if not rows:
        return set()
    if careful:
        return {
            outcome.seq
            for outcome, row in zip(outcomes, rows, strict=True)
            if connection.execute(statement, row).rowcount == 0
        }
    if connection.executemany(statement, rows).rowcount != len(rows):
        raise LeaseLost
    return set()


def _end_row(outcome: Outcome, now: float, keep: Keep) -> tuple[Any, ...]:
    return (
        outcome.state, outcome.result, outcome.started, outcome.runtime, now,
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
        failure.args, failure.traceback,
    )  # fmt: skip


def end(
    connection: sqlite3.Connection,
    leases: Iterable[Lease],
    state: str,
    failure: Failure,
    *,
    now: float,
    keep: Keep,
) -> list[Lease]:
    """End jobs with one verdict; return those whose lease still held."""
    ended: list[Lease] = []
    for lease in leases:
        outcome = Outcome(lease.seq, lease.token, lease.claim, state, failure=failure)
        if connection.execute(SETTLE, _end_row(outcome, now, keep)).rowcount:
            connection.execute(ADD_ERROR, error_row(outcome, failure, now))
            ended.append(lease)
    return ended
