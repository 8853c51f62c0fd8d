"""Looking at the queue from outside: what became of every job, and how often.

The demo and the tests hold the queue's promises against these facts.  Nothing here is hot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from litequeue.store.connection import Database

ADD_LEDGER: Final = """
CREATE TABLE IF NOT EXISTS litequeue_verdict (job INTEGER NOT NULL, state TEXT NOT NULL) STRICT
"""
# Also fires for a second verdict on a finished job, which is what the ledger is there to find.
ADD_LEDGER_TRIGGER: Final = """
CREATE TRIGGER IF NOT EXISTS litequeue_verdict_given AFTER UPDATE OF phase ON litequeue_job
WHEN NEW.phase = 'done'
BEGIN
    INSERT INTO litequeue_verdict VALUES (NEW.seq, NEW.state);
END
"""


def keep_ledger(database: Database) -> None:
    """Have the file write down every verdict from now on, a second one for the same job too."""
    with database.write(durable=True) as connection:
        connection.execute(ADD_LEDGER)
        connection.execute(ADD_LEDGER_TRIGGER)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended: its verdicts in the ledger, its claims, and how often it was running when
    its worker died.  ``started`` is when its last attempt did."""

    id: str
    phase: str
    verdicts: int
    claims: int
    deaths: int
    started: float | None


ENDINGS: Final = """
SELECT job.id, job.phase, count(verdict.job), job.claims, job.deaths, job.started
FROM litequeue_job AS job LEFT JOIN litequeue_verdict AS verdict ON verdict.job = job.seq
GROUP BY job.seq ORDER BY job.seq
"""


def endings(database: Database) -> list[Ending]:
    """Return every job of a file that keeps a ledger, in the order of acceptance."""
    with database.read() as connection:
        return [Ending(*row) for row in connection.execute(ENDINGS).fetchall()]


@dataclass(frozen=True, slots=True)
class Loss:
    """An attempt that was running when its child or its worker died.  ``at`` is epoch seconds."""

    id: str
    at: float


LOSSES: Final = """
SELECT job.id, error.at FROM litequeue_error AS error JOIN litequeue_job AS job
ON job.seq = error.job WHERE error.type = 'WorkerLostError' ORDER BY error.at
"""


def losses(database: Database) -> list[Loss]:
    """Return the attempts that death cut short."""
    with database.read() as connection:
        return [Loss(*row) for row in connection.execute(LOSSES).fetchall()]


HOW_MANY_DONE: Final = "SELECT count(*) FROM litequeue_job WHERE phase = 'done'"


def how_many_done(database: Database) -> int:
    """Return how many jobs have their verdict."""
    with database.read() as connection:
        return int(connection.execute(HOW_MANY_DONE).fetchone()[0])


def problems(database: Database) -> list[str]:
    """Return what SQLite's integrity_check finds wrong with the file; nothing, if all is well."""
    with database.read() as connection:
        rows = connection.execute("PRAGMA integrity_check").fetchall()
    return [text for (text,) in rows if text != "ok"]
