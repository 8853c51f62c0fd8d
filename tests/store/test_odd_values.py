"""Values that nobody of good will would write, in any column: they stop no verb of a worker's."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from litequeue import schedules
from litequeue.entry import Entry
from litequeue.store import (
    Database,
    entries,
    events,
    leases,
    listing,
    mailbox,
    maintenance,
    models,
    queues,
    revocations,
    shown,
    ticks,
    workers,
)
from litequeue.store.claim import has_parked
from litequeue.store.leases import Lost
from tests.store.flows import chain, insert
from tests.store.steps import KEEP, NOW, claim, put, step, success

LATER = NOW + 1e6
ODD = {
    "TEXT": ["CAST(X'ff' AS TEXT)"],
    "INT": ["9223372036854775807", "-9223372036854775808"],
    "FLOAT": ["9e999", "-9e999"],
}
COLUMNS = [
    (model._meta.table_name, field.column_name, value)
    for model in models.TABLES
    for field in model._meta.sorted_fields
    for value in ODD[field.field_type]
    if model is not models.Meta
]
ROWS = f"""
UPDATE litequeue_job SET phase = 'leased', token = 5, owner = 9 WHERE id = 'held';
INSERT INTO litequeue_worker (name, nonce, boot, namespace, pid, start_time, started, heartbeat)
VALUES ('other', 'ab', '', '', 1, 1, 1, 1);
INSERT INTO litequeue_revocation (header, value, terminate, signal, at)
VALUES (NULL, 'x', 1, 'SIGTERM', {NOW}), ('stamp', 'x', 1, 'SIGTERM', {NOW});
INSERT INTO litequeue_part VALUES ('part', 900, 901, 0);
INSERT INTO litequeue_command (at, expires, name, arguments, destination, reply)
VALUES (1, {LATER}, 'ping', '{{}}', '[]', 1);
INSERT INTO litequeue_reply VALUES (1, 'other', 1, '{{}}');
INSERT INTO litequeue_event (at, type, job, worker, body) VALUES (1, 'x', 'x', 'x', '{{}}');
INSERT INTO litequeue_error SELECT seq, 0, 1, 'FAILURE', 'E', '', '[]', '', '' FROM litequeue_job;
INSERT INTO litequeue_log SELECT seq, 0, '' FROM litequeue_job;
INSERT INTO litequeue_step SELECT seq, 'a', '1' FROM litequeue_job;
"""


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with rows in its tables, closed."""
    path = tmp_path_factory.mktemp("lively") / "jobs.sqlite"
    with closing(Database(path, create=True)) as database:
        put(database, "held", "ready", "expires", options='{"stamps": {"stamp": "y"}}')
        insert(database, chain(3))
        form = schedules.dump(schedules.interval(5))
        for name in ("due", "ours"):
            entry = Entry(name=name, schedule=form, task="t", body="[[],{}]", queue="q")
            entries.add(database, entry, NOW)
    with closing(sqlite3.connect(path)) as file:
        file.executescript(ROWS)
    return path


@pytest.fixture(params=[None, *COLUMNS], ids=str)
def spoilt(request: pytest.FixtureRequest, lively: Path, tmp_path: Path) -> Iterator[Database]:
    """The file, with as many rows spoilt in one column as the table allows."""
    path = shutil.copy(lively, tmp_path)
    if request.param is not None:
        table, column, value = request.param
        with closing(sqlite3.connect(path, isolation_level=None)) as file:
            try:
                file.execute(f"UPDATE OR IGNORE {table} SET {column} = {value}")
            except sqlite3.IntegrityError:
                pytest.skip("the table takes no such row")
    with closing(Database(path)) as database:
        yield database


def test_a_worker_goes_on(spoilt: Database) -> None:
    (other,) = (each.id for each in workers.owners(spoilt) if each.identity.nonce == "ab")
    for _ in range(3):
        step(spoilt, *map(success, claim(spoilt, 9, loaded=0)), now=LATER)
    assert workers.renew(spoilt, other, "ab", LATER)
    workers.owners(spoilt)
    lost = [Lost(lease=each, ran=True, reason="") for each in leases.leases_of(spoilt, 9)]
    leases.reap(spoilt, lost, now=LATER, keep=KEEP, max_deliveries=1)
    leases.ended(spoilt, range(9))
    has_parked(spoilt, ["t"])
    revocations.load(spoilt, 0, NOW)
    mailbox.since(spoilt, 0, NOW)
    listing.queue_names(spoilt)
    queues.backlog(spoilt, None, 9)
    shown.next_up(spoilt, 9)
    shown.payloads(spoilt, range(9))
    ticks.due(spoilt, LATER, 9)
    ticks.behind(spoilt, 0.0)
    ticks.release_held(spoilt, LATER, lambda: "new")
    entries.reconcile(spoilt, "app", [], NOW)
    while maintenance.has_expired(spoilt, LATER):
        maintenance.expire(spoilt, LATER, LATER)
    events.trim(spoilt, 1)
    mailbox.prune(spoilt, 2 * LATER)
    revocations.prune(spoilt, 2 * LATER)
    while maintenance.has_prunable(spoilt, 2 * LATER):
        maintenance.prune(spoilt, 2 * LATER)
    workers.unregister(spoilt, 9)
