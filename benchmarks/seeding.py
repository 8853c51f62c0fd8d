"""Files that have grown: litequeue's own schema, filled by plain SQL in a minute or two.

Every row is as litequeue would have written it; `tests/store/test_growth.py` holds that.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path

from litequeue.store import Database

BYTES_PER_JOB = 400
"""Room that a job takes at most, with its payload and its lines in the indexes."""
TASK = "benchmarks.apps.litequeue.began"
DAY = 86_400.0

WAYS = {
    "waiting": {"phase": "'ready'"},
    "scheduled": {"phase": "'scheduled'", "eta": f":now + {DAY} + i * 0.001"},
    "parked": {"phase": "'parked'", "task": "'somebody.elses'", "claims": "1"},
    "finished": {
        "phase": "'done'",
        "state": "'SUCCESS'",
        "claims": "1",
        "owner": "1",
        "started": ":now - 1",
        "runtime": "0.00001",
        "finished": ":now",
        "keep_until": f":now + {DAY} + i * 0.001",  # none becomes prunable in the meantime
        "result": "'12345678901234'",
    },
}
"""By what a job is doing: the columns that tell. ``i`` counts from 1."""
COMMON = {
    # As long as real ones, and growing like them.
    "id": """printf('%08x-%04x-7000-8000-%012x', :milliseconds >> 16, :milliseconds & 65535,
                    :before + i)""",
    "task": f"'{TASK}'",
    "queue": "'default'",
    "created": ":now - 2",
}
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT :count)"
BEFORE = "SELECT coalesce(max(seq), 0) FROM litequeue_job"
ADD_PAYLOADS = """
INSERT INTO litequeue_payload (seq, body)
SELECT seq, '[[1,2],{}]' FROM litequeue_job WHERE seq > ? ORDER BY seq
"""
QUICKLY = ("journal_mode = OFF", "synchronous = OFF", "cache_size = -256000")


def seed(path: Path, jobs: Mapping[str, int]) -> float:
    """Make a file with so many jobs of each kind, in this order; return the seconds it took."""
    began = time.perf_counter()
    database = Database(path, create=True)
    with database.write(durable=True):
        pass  # opening makes the schema
    database.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in QUICKLY:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("INSERT INTO litequeue_queue (name) VALUES ('default')")
        for way, count in jobs.items():
            fill(connection, way, count)
    return time.perf_counter() - began


def fill(connection: sqlite3.Connection, way: str, count: int) -> None:
    columns = COMMON | WAYS[way]
    before = connection.execute(BEFORE).fetchone()[0]
    now = time.time()
    connection.execute(
        f"INSERT INTO litequeue_job (seq, {', '.join(columns)}) "
        f"{NUMBERS} SELECT :before + i, {', '.join(columns.values())} FROM n",
        {"count": count, "before": before, "now": now, "milliseconds": int(now * 1000)},
    )
    connection.execute(ADD_PAYLOADS, (before,))


def bytes_needed(jobs: Iterable[int]) -> int:
    return sum(jobs) * BYTES_PER_JOB
