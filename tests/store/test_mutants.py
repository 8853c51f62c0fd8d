"""Mistakes planted into the store, each of which the tests must catch.

A mistake in a verb is put before the state machine, with several fixed seeds; one in the way
transactions are made is put before a check of its own, which the store itself passes.
"""

from __future__ import annotations

import inspect
import select
import sqlite3
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from litequeue.exceptions import DuplicateJob
from litequeue.job import Job, Outcome
from litequeue.store import (
    Database,
    checkpoints,
    connection,
    jobs,
    leases,
    maintenance,
    opening,
    queues,
    revocations,
    settle,
    workers,
)
from litequeue.store import claim as claims
from litequeue.store.leases import Lost
from litequeue.store.wakeup import Ringer
from litequeue.store.workers import Identity
from litequeue.worker.neighbours import Neighbours
from tests.conftest import FakeClock
from tests.store.machine import QueueMachine
from tests.store.steps import KEEP, NOW, claim, claim_one, job, put, rows, step
from tests.store.steps import success as succeed

SEEDS = (1, 2)
SEARCH = settings(
    max_examples=400,
    stateful_step_count=40,
    phases=(Phase.generate,),  # the first counterexample will do
    database=None,
    report_multiple_bugs=False,
    print_blob=False,
)

# Before the state machine

Plant = Callable[[pytest.MonkeyPatch], None]


def statement(module: Any, name: str, found: str, instead: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        text = getattr(module, name)
        assert found in text, f"{name} has changed: plant the mistake anew"
        patch.setattr(module, name, text.replace(found, instead))

    return plant


def forgiving_reaper(patch: pytest.MonkeyPatch) -> None:
    """The poison limit is off by one."""
    genuine = leases.reap

    def reap(*args: Any, max_deliveries: int, **more: Any) -> Any:
        return genuine(*args, max_deliveries=max_deliveries + 1, **more)

    patch.setattr(leases, "reap", reap)


def blaming_reaper(patch: pytest.MonkeyPatch) -> None:
    """What never ran is blamed too."""
    genuine = leases.reap

    def reap(database: Database, lost: list[Lost], **more: Any) -> Any:
        blamed = [Lost(lease=item.lease, ran=True, reason=item.reason) for item in lost]
        return genuine(database, blamed, **more)

    patch.setattr(leases, "reap", reap)


def robust_reaper(patch: pytest.MonkeyPatch) -> None:
    """No task is fragile."""
    genuine = leases.reap

    def reap(*given: Any, **more: Any) -> Any:
        return genuine(*given, **{**more, "fragile": frozenset()})

    patch.setattr(leases, "reap", reap)


def forgetful_reaper(patch: pytest.MonkeyPatch) -> None:
    """What was acknowledged before it ran is run again."""
    genuine = leases.reap

    def reap(database: Database, lost: list[Lost], **more: Any) -> Any:
        late = [replace(item, lease=replace(item.lease, once=0)) for item in lost]
        return genuine(database, late, **more)

    patch.setattr(leases, "reap", reap)


def commit_on_error(patch: pytest.MonkeyPatch) -> None:
    """What an exception interrupted is kept."""

    def rollback(self: Database, writer: sqlite3.Connection) -> None:
        self.commit(writer, 0)

    patch.setattr(Database, "rollback", rollback)


def replace_on_conflict(patch: pytest.MonkeyPatch) -> None:
    """The second job of an id takes the place of the first."""
    statement(jobs, "ADD_JOB", "INSERT INTO", "INSERT OR REPLACE INTO")(patch)
    statement(jobs, "ADD_JOB", "ON CONFLICT (id) DO NOTHING", "")(patch)


def merciful_reaper(patch: pytest.MonkeyPatch) -> None:
    """A verdict from outside is not heeded."""
    genuine = leases.reap

    def reap(database: Database, lost: list[Lost], **more: Any) -> Any:
        return genuine(database, [replace(item, verdict=None) for item in lost], **more)

    patch.setattr(leases, "reap", reap)


def hoarder(patch: pytest.MonkeyPatch) -> None:
    """Logs outlive their jobs."""
    kept = [each for each in maintenance.PRUNE_ALL if each != maintenance.PRUNE_LOGS]
    patch.setattr(maintenance, "PRUNE_ALL", tuple(kept))


WITH_TOKEN = "WHERE seq = ? AND token = ?"
WITHOUT = "WHERE seq = ? AND ? IS NOT NULL"
UNDONE = "phase <> 'done' AND phase <> 'leased'"

PLANTS: dict[str, Plant] = {
    "settle without the token": statement(settle, "SETTLE", WITH_TOKEN, WITHOUT),
    "retry without the token": statement(settle, "SETTLE_RETRY", WITH_TOKEN, WITHOUT),
    "release and reap without the token": statement(leases, "RELEASE", WITH_TOKEN, WITHOUT),
    "started without the token": statement(
        jobs, "MARK_STARTED", WITH_TOKEN, f"{WITHOUT} AND phase = 'leased'"
    ),
    "a token that is no secret": statement(claims, "CLAIM", "token = random()", "token = 5"),
    "a token that stays": statement(
        claims, "CLAIM", "token = random()", "token = unicode(id) + length(id)"
    ),
    "an id is used again": replace_on_conflict,
    "due one moment too late": statement(claims, "PROMOTE", "eta <= ?", "eta < ?"),
    "expired one moment too late": statement(
        maintenance, "EXPIRE", "expires <= ?", "expires < ?"
    ),
    "pruned one moment too late": statement(
        maintenance, "PRUNABLE", "keep_until <= ?", "keep_until < ?"
    ),
    "what runs is revoked": statement(
        revocations, "REVOKE_AMONG", UNDONE, "phase <> 'done'"
    ),
    "what is done is revoked": statement(
        revocations, "REVOKE_AMONG", UNDONE, "phase <> 'leased'"
    ),
    "first come in place of priority": statement(
        claims, "CLAIM", "ORDER BY job.priority DESC, job.seq", "ORDER BY job.seq"
    ),
    "parked jobs that nobody here knows are taken": statement(
        claims, "CLAIM_PARKED", "job.task IN (SELECT value FROM json_each(?5))", "?5 IS NOT NULL"
    ),
    "a retry is not counted": statement(
        settle, "SETTLE_RETRY", "max(retries, 0) + ?", "max(retries, 0) + 0 * ?"
    ),
    "a claim that does not acknowledge": statement(claims, "ACKNOWLEDGE", "once = 1", "once = 0"),
    "acknowledged by whoever claims": statement(
        claims, "ACKNOWLEDGE", "seq = ? AND token = ?", "? <> ? AND phase = 'leased'"
    ),
    "acknowledged for ever": statement(leases, "RELEASE", "once = 0, ", ""),
    "acknowledged for all tries": statement(settle, "SETTLE_RETRY", "once = 0, ", ""),
    "what was acknowledged runs again": forgetful_reaper,
    "nothing is fragile": robust_reaper,
    "what succeeded runs again": statement(jobs, "RERUN", "AND state <> 'SUCCESS'", ""),
    "what has not ended runs again": statement(jobs, "RERUN", "phase = 'done' AND ", ""),
    "old deaths count in a new run": statement(jobs, "RERUN", "deaths = 0, ", ""),
    "a new run is late from the start": statement(jobs, "RERUN", "expires = NULL, ", ""),
    "a state without the token": statement(
        jobs, "REPORT", "AND token = ?", "AND ? IS NOT NULL"
    ),
    "a state of what is done": statement(
        jobs, "REPORT_FOR_ANOTHER", "AND phase <> 'done'", ""
    ),
    "a start hides what a job told": statement(
        jobs, "MARK_STARTED", "CASE state WHEN 'RECEIVED' THEN 'STARTED' ELSE state END",
        "'STARTED'",
    ),
    "what a job told outlives its retry": statement(
        settle, "SETTLE_RETRY", "result = NULL,", ""
    ),
    "what a job told outlives its worker": statement(leases, "RELEASE", "result = NULL, ", ""),
    "a state that is not told": statement(
        jobs, "REPORT", "coalesce(?, state)", "coalesce(state, ?)"
    ),
    "moved to a queue that nobody knows": statement(
        settle, "ADD_ITS_QUEUE", "SELECT queue", "SELECT 'default' AS queue"
    ),
    "moved without its priority": statement(
        settle, "MOVE", "coalesce(?, priority)", "coalesce(priority, ?)"
    ),
    "moved without its expiry": statement(
        settle, "MOVE", "expires = coalesce(?, expires)", "expires = coalesce(expires, ? * 0)"
    ),
    "everything moves": statement(settle, "MOVE", "WHERE seq = ?", "WHERE ? IS NOT NULL"),
    "a paused queue is claimed from": statement(claims, "CLAIM", "queue.paused IS NULL", "1"),
    "a paused queue is claimed from when it is asked for": statement(
        claims, "CLAIM_FROM", "queue.paused IS NULL", "1"
    ),
    "what is parked in a paused queue is taken": statement(
        claims, "CLAIM_PARKED", "queue.paused IS NULL", "1"
    ),
    "what is parked in a paused queue is looked for": statement(
        claims, "HAS_PARKED", "queue.paused IS NULL", "1"
    ),
    "a queue is paused for ever": statement(
        queues, "RESUME", "AND paused IS NOT NULL", "AND paused IS NULL"
    ),
    "excluded queues are claimed from": statement(
        claims, "CLAIM_FROM", "AND NOT EXISTS", "AND NOT NOT 1 OR EXISTS"
    ),
    "parked jobs of excluded queues are taken": statement(
        claims, "CLAIM_PARKED", "AND NOT EXISTS", "AND NOT NOT 1 OR EXISTS"
    ),
    "all queues are chosen": statement(claims, "CLAIM_FROM", "?3 IS NULL OR", "1 OR"),
    "patterns are names": statement(claims, "CLAIM_FROM", "OR queue.name GLOB value", ""),
    "a revocation is forgotten": statement(revocations, "LOAD", "WHERE id > ?", "WHERE id < ?"),
    "a revocation is forgotten when the job ends": statement(
        revocations, "STANDS", "value = ?", "value = ? AND 0"
    ),
    "what runs is not revoked": statement(
        revocations, "HAVE_ENDED", "job.phase = 'done'", "job.phase <> 'ready'"
    ),
    "a new run is revoked by an old word": statement(
        revocations, "CLEAR", "value = ?", "value = ? AND 0"
    ),
    "a new run clears everybody's revocation": statement(
        revocations, "CLEAR", "value = ?", "? IS NOT NULL"
    ),
    "a log of another attempt": statement(settle, "ADD_LOG", "(?, ?, ?)", "(?, ? + 1, ?)"),
    "logs stay": hoarder,
    "a verdict that does not end the job": merciful_reaper,
    "one death too many": forgiving_reaper,
    "blame for what never ran": blaming_reaper,
    "no rollback": commit_on_error,
}  # fmt: skip


RARE: Final = {
    "parked jobs that nobody here knows are taken", "acknowledged for all tries",
    "a start hides what a job told", "a state that is not told", "logs stay",
    "what is parked in a paused queue is taken", "old deaths count in a new run",
    "what is parked in a paused queue is looked for", "due one moment too late",
    "acknowledged for ever", "first come in place of priority",
    "what a job told outlives its worker", "an id is used again", "a state without the token",
    "started without the token", "a new run is revoked by an old word", "patterns are names",
    "a new run is late from the start", "what has not ended runs again", "all queues are chosen",
    "what succeeded runs again",
}  # fmt: skip
"""Faults that take a second or more to be met with."""
MARKED: Final = [
    pytest.param(name, marks=pytest.mark.slow) if name in RARE else name for name in PLANTS
]


@pytest.mark.parametrize("number", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", MARKED)
def test_the_state_machine_catches(name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    PLANTS[name](monkeypatch)
    assert any(map(catches, range(number, number + 3 * len(SEEDS), len(SEEDS))))


def catches(number: int) -> bool:
    """Tell whether the search from this seed finds the fault; a rare one may take another."""
    machine = seed(number)(type("Machine", (QueueMachine,), {}))
    try:
        run_state_machine_as_test(machine, settings=SEARCH)
    except Exception:  # whatever breaks first
        return True
    return False


# Before checks of their own


@contextmanager
def queue(path: Path) -> Iterator[Database]:
    database = Database(path, create=True)
    try:
        yield database
    finally:
        database.close()


def a_writer_has_the_lock_from_the_start(path: Path) -> None:
    """Else what it reads first may be out of date when it writes."""
    with queue(path) as database:
        put(database, "a")
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            held = pytest.raises(sqlite3.OperationalError, match="locked")
            with database.write(durable=False), held:
                other.execute("BEGIN IMMEDIATE")
            other.execute("BEGIN IMMEDIATE")


class Interrupted(Exception):
    pass


class Interrupting:
    """A connection that fails before its n-th statement."""

    def __init__(self, genuine: sqlite3.Connection, at: int) -> None:
        self._genuine = genuine
        self._left = at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._genuine, name)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Interrupted

    def execute(self, *args: Any) -> Any:
        if not args[0].startswith("ROLLBACK"):
            self._count()
        return self._genuine.execute(*args)

    def executemany(self, *args: Any) -> Any:
        self._count()
        return self._genuine.executemany(*args)


def settling_and_claiming_are_one_transaction(path: Path) -> None:
    """Interrupted at any statement, all of it happened or nothing."""
    tables = ("job", "payload", "error", "queue")

    def everything() -> list[Any]:
        return [rows(path, f"SELECT * FROM litequeue_{table}") for table in tables]

    with queue(path) as database:
        put(database, "a", "b", "c", "d", body="[[1],{}]")
        put(database, "due", eta=NOW + 1)
        held = claim(database, 3)
        before = everything()
        head = [(lease.seq, lease.token, lease.claim) for lease in held]
        outcomes = [
            Outcome(*head[0], "SUCCESS", "1"),
            Outcome(*head[1], "FAILURE", failure=claims.UNREADABLE),
            Outcome(*head[2], "RETRY", body="[[2],{}]", failure=claims.UNREADABLE),
        ]
        for number in range(1, 100):
            genuine = database._writer
            assert genuine is not None
            database._writer = Interrupting(genuine, number)  # type: ignore[assignment]  # enough of one
            try:
                step(database, *outcomes, limit=2, now=NOW + 5)
            except Interrupted:
                database._writer = genuine
                assert everything() == before, f"interrupted before statement {number}"
            else:
                database._writer = genuine
                break
        assert number > 8, "nothing was interrupted"
        assert everything() != before


def checkpoints_are_guarded(path: Path) -> None:
    """While one runs nobody else may commit: SQLite before 3.51.3 could lose that commit."""
    with queue(path) as database:
        put(database, "a")
        with database.read() as reader:
            pass
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
            outcome: list[str] = []

            def look(text: str) -> None:
                if "wal_checkpoint" in text:
                    try:
                        other.execute("BEGIN IMMEDIATE")
                        other.execute("ROLLBACK")
                        outcome.append("others could write")
                    except sqlite3.OperationalError:
                        outcome.append("guarded")

            reader.set_trace_callback(look)
            database.checkpoint()
            jobs.enqueue_many(database, [job() for _ in range(checkpoints.CHECKPOINT_EVERY)], NOW)
            reader.set_trace_callback(None)
        assert outcome == ["guarded", "guarded"]


def an_error_leaves_nothing_behind(path: Path) -> None:
    with queue(path) as database:
        put(database, "a")
        with pytest.raises(DuplicateJob):
            jobs.enqueue_many(database, [job("b"), job("a", body="[[1],{}]")], NOW)
        assert rows(path, "SELECT id FROM litequeue_job") == [("a",)]


def a_job_and_its_payload_are_one_transaction(path: Path) -> None:
    with queue(path) as database:
        put(database, "a")
        for number in range(1, 100):
            genuine = database._writer
            assert genuine is not None
            database._writer = Interrupting(genuine, number)  # type: ignore[assignment]  # enough of one
            try:
                put(database, "b", queue="new")
            except Interrupted:
                database._writer = genuine
                assert rows(path, "SELECT id FROM litequeue_job") == [("a",)]
                assert rows(path, "SELECT count(*) FROM litequeue_payload") == [(1,)]
                assert rows(path, "SELECT name FROM litequeue_queue") == [("default",)]
            else:
                database._writer = genuine
                break
        assert number > 4, "nothing was interrupted"


def an_outcome_is_on_the_disk_when_it_is_acknowledged(path: Path) -> None:
    with queue(path) as database:
        put(database, "a")
        lease = claim_one(database)
        writer = database._writer
        assert writer is not None
        levels: list[int] = []

        def look(text: str) -> None:
            if text.startswith("COMMIT"):
                levels.append(writer.execute("PRAGMA synchronous").fetchone()[0])

        writer.set_trace_callback(look)
        put(database, "b")
        step(database, succeed(lease), limit=1)
        writer.set_trace_callback(None)
        assert levels == [2, 2]


def silence_must_outlast_the_timeout(path: Path) -> None:
    """A worker that cannot be seen is taken for dead after its timeout, not a moment before."""
    with queue(path) as database:
        clock = FakeClock()
        unseen = Identity(name="w", nonce="0f", boot="", namespace="pid:[far]", pid=1,
                          start_time=1, directory=str(path.parent))  # fmt: skip
        owner = workers.register(database, unseen, NOW)
        put(database, "a")
        claim_one(database, owner=owner)
        neighbours = Neighbours(database, Ringer(str(path)), owner=0, poll=select.poll(),
                                clock=clock, changed=lambda: None,
                                given_up=lambda jobs, reason: None)  # fmt: skip

        def watch() -> list[int]:
            neighbours.watch(KEEP, timeout=64.0, max_deliveries=3)
            return [other.id for other in workers.owners(database)]

        def stay_awake() -> None:
            for _ in range(16):
                clock.advance(4.0)
                watch()

        assert watch() == [owner]
        stay_awake()
        assert watch() == [owner], "it may renew this very moment"
        workers.renew(database, owner, "0f", NOW)
        assert watch() == [owner]
        stay_awake()
        assert watch() == [owner], "it has renewed since"
        clock.advance(99.0)
        assert watch() == [owner], "we slept, and did not hear it"
        stay_awake()
        assert watch() == [owner], "it was given time"
        assert rows(path, "SELECT phase FROM litequeue_job") == [("leased",)]
        clock.set_wall(0.0)
        clock.advance(0.5)
        assert watch() == []
        assert rows(path, "SELECT phase, deaths FROM litequeue_job") == [("ready", 0)]


CHECKS: dict[str, Callable[[Path], None]] = {
    check.__name__.replace("_", " "): check
    for check in (
        a_writer_has_the_lock_from_the_start,
        settling_and_claiming_are_one_transaction,
        checkpoints_are_guarded,
        an_error_leaves_nothing_behind,
        a_job_and_its_payload_are_one_transaction,
        an_outcome_is_on_the_disk_when_it_is_acknowledged,
        silence_must_outlast_the_timeout,
    )
}


@pytest.mark.parametrize("check", CHECKS)
def test_the_store_passes(queue_path: Path, check: str) -> None:
    CHECKS[check](queue_path)


def deferred(patch: pytest.MonkeyPatch) -> None:
    def begin(writer: sqlite3.Connection, gate: object) -> bool:
        writer.execute("BEGIN DEFERRED")
        return True

    patch.setattr(connection, "try_begin", begin)


def two_transactions(patch: pytest.MonkeyPatch) -> None:
    genuine = jobs.settle

    def settle_alone(writer: sqlite3.Connection, *args: Any, **more: Any) -> Any:
        zombies = genuine(writer, *args, **more)
        writer.execute("COMMIT")
        writer.execute("BEGIN IMMEDIATE")
        return zombies

    patch.setattr(jobs, "settle", settle_alone)


def two_transactions_per_job(patch: pytest.MonkeyPatch) -> None:
    def add(writer: sqlite3.Connection, new: Job, now: float) -> bool:
        writer.execute(jobs.ADD_JOB, jobs._job_row(new, now))
        seq = writer.execute("SELECT last_insert_rowid()").fetchone()[0]
        writer.execute("COMMIT")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO litequeue_payload (seq, body) VALUES (?, ?)", (seq, new.body))
        return True

    patch.setattr(jobs, "_add", add)


def unguarded(patch: pytest.MonkeyPatch) -> None:
    def checkpoint(self: checkpoints.Checkpoints, writer: sqlite3.Connection) -> None:
        self._rows = 0
        with self._database.lend_reader() as reader:
            reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    patch.setattr(checkpoints.Checkpoints, "_run", checkpoint)


def never_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(connection, "FULL", opening.NORMAL)


def source(owner: Any, name: str, found: str, instead: str) -> Plant:
    """Change the text of a method."""

    def plant(patch: pytest.MonkeyPatch) -> None:
        genuine = getattr(owner, name)
        text = textwrap.dedent(inspect.getsource(genuine))
        assert found in text, f"{name} has changed: plant the mistake anew"
        namespace = dict(genuine.__globals__)
        exec(f"from __future__ import annotations\n{text.replace(found, instead)}", namespace)
        patch.setattr(owner, name, namespace[name])

    return plant


def impatient(patch: pytest.MonkeyPatch) -> None:
    source(Neighbours, "watch", "silent_since > timeout", "silent_since >= timeout")(patch)


def never_forgiving(patch: pytest.MonkeyPatch) -> None:
    """A beat does not count."""
    source(Neighbours, "_note", "beats != owner.beats", "beats == -1")(patch)


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (deferred, a_writer_has_the_lock_from_the_start),
        (two_transactions, settling_and_claiming_are_one_transaction),
        (two_transactions_per_job, a_job_and_its_payload_are_one_transaction),
        (unguarded, checkpoints_are_guarded),
        (commit_on_error, an_error_leaves_nothing_behind),
        (never_synced, an_outcome_is_on_the_disk_when_it_is_acknowledged),
        (impatient, silence_must_outlast_the_timeout),
        (never_forgiving, silence_must_outlast_the_timeout),
    ],
    ids=lambda value: value.__name__.replace("_", " "),
)
def test_a_check_catches(
    queue_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Plant,
    check: Callable[[Path], None],
) -> None:
    plant(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(queue_path)
