"""What the steps inside of a job have returned: its next attempt need not do them again.

It stays while the job does, whatever becomes of its attempts, and goes when the job becomes
another one.
"""

from __future__ import annotations

from typing import Final

from litequeue.store.connection import Database
from litequeue.store.settle import ROW

REMEMBER: Final = """
INSERT OR REPLACE INTO litequeue_step (job, name, result)
SELECT seq, ?, ? FROM litequeue_job WHERE id = ? AND token = ?
"""


def remember(database: Database, id: str, *, token: int, name: str, text: str) -> bool:
    """Keep the result of a step, as encoded text; False when the lease ``token`` was lost."""
    with database.write(durable=True, rows=1 + len(text) // ROW) as connection:
        return connection.execute(REMEMBER, (name, text, id, token)).rowcount == 1


STEPS_OF: Final = """
SELECT step.name, step.result FROM litequeue_job AS job JOIN litequeue_step AS step
ON step.job = job.seq WHERE job.id = ?
"""


def steps_of(database: Database, id: str) -> dict[str, str]:
    """Return the results of a job's steps: name to encoded text."""
    with database.read() as connection:
        return dict(connection.execute(STEPS_OF, (id,)).fetchall())
