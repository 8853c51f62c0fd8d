"""No statement that runs in a loop may look at every row, however many there are.

`EXPLAIN QUERY PLAN` shows a scan; it does not show a search that steps over most of a table. So
the statements of the hot path are also counted, in steps of SQLite's virtual machine.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from litequeue import store
from litequeue.job import Job, Outcome
from litequeue.store import Database, jobs, maintenance, results, revocations
from litequeue.store import claim as claims
from litequeue.store import leases as held
from litequeue.store.claim import Claim
from tests.store.steps import KEEP, NOW, TASKS, enlist, revoke

VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")
SCAN = re.compile(r"SCAN (?:TABLE )?(\w+)")
MAY_BE_SCANNED = {
    "litequeue_queue",  # a handful
    "queue",  # the same, in a claim
    "litequeue_worker",  # a handful
    "litequeue_worker_name",  # of a month: read through at a worker's start
    "litequeue_app",  # a handful
    "litequeue_task",  # what a program has
    "litequeue_command",  # a handful: each is gone a minute after it has expired
    "json_each",  # our own argument
    "litequeue_advance",  # empty but for what this transaction has put there
    "sqlite_schema",  # once, at opening
    "sqlite_master",
}
BOUNDED = {"revocations.SURPLUS"}  # it counts to the 50,000th of the latest, and no further
FIRST_OF_ITS_INDEX = {"claim.NEXT_DUE"}  # one step, counted below
ALL_ENTRIES = {
    "entries.DEFINED",  # once at a start: what code defines, against what is there
    "entries.RECORDS",  # for people who ask for all of them
    "ticks.LOCAL",  # once at a start, and after the machine has moved to another zone
    "ticks.BEHIND",  # once at a start, and after the clock was put back
}
NOT_HOT = {
    "litequeue.store.audit",  # looks at everything, for the demo and the tests
    "litequeue.store.listing",  # what people ask for in commands
}


def statements() -> dict[str, str]:
    """Return every SQL constant of the store, so that a new one cannot be forgotten."""
    found = {}
    for info in pkgutil.walk_packages(store.__path__, "litequeue.store."):
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, str) and VERB.match(value):
                found[f"{info.name.removeprefix('litequeue.store.')}.{name}"] = value
    return found


def is_hot(name: str) -> bool:
    return f"litequeue.store.{name.rpartition('.')[0]}" not in NOT_HOT


def plan(connection: sqlite3.Connection, statement: str) -> list[str]:
    for count in itertools.count():
        try:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", (None,) * count)
            return [row[3] for row in rows]
        except sqlite3.ProgrammingError:
            assert count < 30
    raise AssertionError


def scans(steps: list[str]) -> list[str]:
    """Return the steps that read a whole table or a whole index."""
    return [step for step in steps if (m := SCAN.match(step)) and m[1] not in MAY_BE_SCANNED]


@pytest.fixture
def schema(database: Database) -> Iterator[sqlite3.Connection]:
    with database.write(durable=False):
        pass
    with closing(sqlite3.connect(database.path)) as connection:
        yield connection


def test_the_statements_are_found() -> None:
    expected = {"claim.CLAIM", "claim.CLAIM_FROM", "settle.SETTLE", "jobs.ADD_JOB", "results.FETCH"}
    assert expected | {"maintenance.EXPIRE", "workers.REGISTER"} <= set(statements())
    assert len(statements()) > 30


@pytest.mark.parametrize("name", sorted(filter(is_hot, statements())))
def test_no_hot_statement_scans(schema: sqlite3.Connection, name: str) -> None:
    found = scans(plan(schema, statements()[name]))
    if name in FIRST_OF_ITS_INDEX:
        assert re.search(r"ORDER BY \w+ LIMIT 1\s*$", statements()[name])
        assert [" USING INDEX " in step for step in found] == [True]
    elif name in ALL_ENTRIES:
        assert {SCAN.match(step)[1] for step in found} == {"entry"}  # type: ignore[index]  # all match
    elif name in BOUNDED:
        assert statements()[name].endswith("ORDER BY id DESC LIMIT ? OFFSET ?")
    else:
        assert found == []


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM litequeue_job",
        "SELECT * FROM litequeue_job ORDER BY priority",
        "SELECT seq FROM litequeue_job WHERE phase = 'ready' AND task = ?",
        "UPDATE litequeue_job SET phase = 'ready' WHERE task = ?",
        "DELETE FROM litequeue_payload WHERE body = ?",
        "SELECT 1 FROM litequeue_job AS job JOIN litequeue_payload AS p ON p.seq = job.priority",
        "SELECT 1 FROM litequeue_job WHERE id IN (SELECT body FROM litequeue_payload)",
    ],
)
def test_a_scan_would_be_seen(schema: sqlite3.Connection, statement: str) -> None:
    assert scans(plan(schema, statement))


# Flatness

FEW, MANY = 500, 20_000
CLAIMED = 64


def fill(path: Path, count: int) -> None:
    """Put ``count`` jobs into every phase, in three queues and three priorities.

    And as many, of a higher priority, into a paused queue.
    """
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count})"
    common = "'t', 'q' || (i % 3)"
    parts = {
        "ready": ("phase, priority", "'ready', i % 3"),
        "scheduled": ("phase, eta", f"'scheduled', {NOW + 1_000} + i"),
        "parked": ("phase", "'parked'"),
        "leased": ("phase, state, owner, token", "'leased', 'RECEIVED', 99, i"),
        "done": (
            "phase, state, finished, keep_until",
            f"'done', 'SUCCESS', {NOW}, {NOW + 1_000} + i",
        ),
    }
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(
            "INSERT OR IGNORE INTO litequeue_queue (name) VALUES ('q0'), ('q1'), ('q2')"
        )
        for phase, (names, values) in parts.items():
            # Leases are as many as workers hold, never as many as jobs.
            limited = f"{numbers} SELECT '{phase}-' || i, {common}, {NOW}, {values} FROM n"
            if phase == "leased":
                limited += " WHERE i <= 500"
            connection.execute(
                f"INSERT INTO litequeue_job (id, task, queue, created, {names}) {limited}"
            )
        connection.execute("INSERT INTO litequeue_queue (name, paused) VALUES ('held', 1.0)")
        for phase in ("ready", "parked"):
            connection.execute(
                "INSERT INTO litequeue_job (id, task, queue, created, priority, phase)"
                f" {numbers} SELECT 'held-{phase}-' || i, 't', 'held', {NOW}, 9, '{phase}' FROM n"
            )
        connection.execute(
            "INSERT INTO litequeue_payload (seq, body) SELECT seq, '[[],{}]' FROM litequeue_job"
        )
        connection.execute("COMMIT")


def steps_of(database: Database, action: Callable[[Database], Any]) -> int:
    """Return how many steps SQLite's virtual machine takes for ``action``, on both connections."""
    with database.write(durable=False) as writer:
        pass
    with database.read() as reader:
        pass
    count = 0

    def tick() -> None:
        nonlocal count
        count += 1

    for connection in (writer, reader):
        connection.set_progress_handler(tick, 1)
    action(database)
    for connection in (writer, reader):
        connection.set_progress_handler(None, 0)
    return count


def claim_from(database: Database, queues: str | None, now: float = NOW, **more: Any) -> list[Any]:
    claim = Claim(owner=1, limit=CLAIMED, tasks=TASKS, queues=queues, **more)
    leases = jobs.settle_and_claim(database, now=now, keep=KEEP, claim=claim).leases
    assert len(leases) == CLAIMED
    return leases


def claim_revoked(database: Database) -> None:
    first = claim_from(database, None)
    held.release(database, [(lease.seq, lease.token) for lease in first])
    revocations.revoke(database, ["unknown"], now=NOW, keep=KEEP)
    claim_from(database, None, revoked=frozenset({"unknown"}), loaded=0)


def look_for_parked_in_vain(database: Database) -> None:
    assert not claims.has_parked(database, ["t", "u"], None, '["q?"]')


def take_parked(database: Database, **more: Any) -> None:
    claim = Claim(owner=1, limit=CLAIMED, tasks=frozenset("tu"), parked=True, **more)
    assert len(jobs.settle_and_claim(database, now=NOW, keep=KEEP, claim=claim).leases) == CLAIMED


def settle(database: Database) -> None:
    with database.read() as reader:
        rows = reader.execute(
            "SELECT seq, token, 1 FROM litequeue_job WHERE phase = 'leased' AND owner = 99 LIMIT 64"
        ).fetchall()
    outcomes = [Outcome(*row, "SUCCESS", "1") for row in rows]
    assert len(outcomes) == 64
    jobs.settle_and_claim(database, now=NOW, keep=KEEP, outcomes=outcomes)


def run(statement: str) -> Callable[[Database], Any]:
    def action(database: Database) -> None:
        with database.read() as reader:
            reader.execute(statement).fetchall()

    return action


ACTIONS: dict[str, Callable[[Database], Any]] = {
    "CLAIM": lambda d: claim_from(d, None),
    "CLAIM_FROM one": lambda d: claim_from(d, '["q1"]'),
    "CLAIM_FROM two": lambda d: claim_from(d, '["q1","q2"]'),
    "CLAIM_FROM a pattern": lambda d: claim_from(d, '["q[01]","nobody*"]'),
    "CLAIM_FROM all but some": lambda d: claim_from(d, None, excluded='["q1"]'),
    "CLAIM_FROM in order": lambda d: claim_from(d, None, in_order=('["none"]', '["q2"]', '["*"]')),
    "CLAIM with revocations": claim_revoked,
    "SETTLE": settle,
    "PROMOTE": lambda d: claim_from(d, None, now=NOW + 1_100),
    "EXPIRE": lambda d: maintenance.expire(d, NOW, NOW),
    "HAS_EXPIRED": lambda d: maintenance.has_expired(d, NOW),
    "HAS_PARKED": lambda d: claims.has_parked(d, ["t", "u"]),
    "CLAIM_PARKED": take_parked,
    "CLAIM_PARKED not from everywhere": lambda d: take_parked(d, excluded='["q2*"]'),
    "HAS_PARKED in other queues only": look_for_parked_in_vain,
    "PRUNE": lambda d: maintenance.prune(d, NOW + 1_100),
    "revocations.prune": lambda d: revocations.prune(d, NOW),
    "REVOKE": lambda d: revoke(d, "ready-7", now=NOW, keep=KEEP),
    "FETCH": lambda d: results.fetch(d, "done-7"),
    "ENQUEUE": lambda d: jobs.enqueue(d, Job("new", "t", "[[],{}]", "q1"), NOW),
    "ENQUEUE_MANY": lambda d: jobs.enqueue_many(
        d, [Job(f"new{n}", "t", "[[],{}]", "q1") for n in range(50)], NOW
    ),
    "LEASES_OF": lambda d: held.leases_of(d, 99),
    **{name: run(statements()[name]) for name in sorted(FIRST_OF_ITS_INDEX)},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Two queues, of which one holds forty times as much."""
    made = {}
    for count in (FEW, MANY):
        path = tmp_path_factory.mktemp("flat") / f"{count}.sqlite"
        database = Database(path, create=True)
        enlist(database, 1)
        database.close()
        fill(path, count)
        made[count] = path
    return made


def test_a_step_counts_what_a_statement_does(files: dict[int, Path]) -> None:
    """The measure itself: a scan grows with the table."""

    def scan(database: Database) -> None:
        with database.read() as reader:
            reader.execute("SELECT count(*) FROM litequeue_job WHERE priority = 77").fetchall()

    few, many = (_measure(files[count], scan) for count in (FEW, MANY))
    assert many > 30 * few


@pytest.mark.parametrize("name", ACTIONS)
def test_the_hot_path_is_flat(files: dict[int, Path], name: str) -> None:
    few, many = (_measure(files[count], ACTIONS[name]) for count in (FEW, MANY))
    assert many <= few * 1.02 + 20, f"{few} steps among {FEW} jobs, {many} among {MANY}"


@pytest.mark.parametrize(
    ("found", "instead"),
    [
        ("AND job.queue =", "AND +job.queue ="),
        (
            "queue.paused IS NULL",
            "(SELECT paused FROM litequeue_queue WHERE name = job.queue || '') IS NULL",
        ),
        ("ORDER BY job.priority DESC, job.seq", "ORDER BY created"),
        ("ORDER BY job.priority DESC, job.seq", "ORDER BY job.priority DESC, job.seq DESC"),
        ("job.phase = 'ready'", "job.phase IN ('ready', 'scheduled') AND job.eta IS NULL"),
    ],
    ids=[
        "no index",
        "paused or not asked of each job",
        "by another column",
        "in another order",
        "filtered by time",
    ],
)
def test_a_claim_that_is_not_flat_would_be_seen(
    files: dict[int, Path], monkeypatch: pytest.MonkeyPatch, found: str, instead: str
) -> None:
    assert found in claims.CLAIM
    monkeypatch.setattr(claims, "CLAIM", claims.CLAIM.replace(found, instead))
    few, many = (_measure(files[count], ACTIONS["CLAIM"]) for count in (FEW, MANY))
    assert many > 10 * few


def _measure(path: Path, action: Callable[[Database], Any]) -> int:
    """Count the steps, and take back what was done: the files serve every test."""

    class Unchanging(Database):
        def commit(self, connection: sqlite3.Connection, rows: int) -> None:
            self.rollback(connection)

    database = Unchanging(path)
    try:
        return steps_of(database, action)
    finally:
        database.close()
