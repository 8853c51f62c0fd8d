from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from litequeue.exceptions import (
    EnqueueUncertain,
    ImproperlyConfigured,
    QueueBusy,
    QueueFileReplaced,
    QueueFull,
    QueueNotFound,
    SoftTimeLimitExceeded,
    StoreError,
    UnsafeFilesystem,
)
from litequeue.interrupts import SignalGuard
from litequeue.store import Database, checkpoints, filesystem, jobs, results
from litequeue.store.errors import IOFailure
from litequeue.store.maintenance import prune
from tests.conftest import FakeClock, wait_until
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    enlist,
    job,
    phases,
    problems,
    put,
    revoke,
    rows,
    step,
)
from tests.store.steps import success as succeed

# Opening


@pytest.mark.parametrize("path", ["", ":memory:", "file:jobs.sqlite", "file::memory:?cache=shared"])
def test_what_is_no_files_path_is_refused(path: str) -> None:
    with pytest.raises(ImproperlyConfigured):
        Database(path, create=True)


def test_nothing_is_opened_before_the_first_use(queue_path: Path) -> None:
    Database(queue_path, create=True)
    assert list(queue_path.parent.iterdir()) == []


def test_only_who_may_create_makes_a_file(queue_path: Path) -> None:
    with pytest.raises(QueueNotFound, match="litequeue migrate"):
        put(Database(queue_path), "a")
    assert list(queue_path.parent.iterdir()) == []


def test_where_no_file_can_be_made_our_words_say_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nosuch"):
        put(Database(tmp_path / "nosuch" / "jobs.sqlite", create=True), "a")


def test_everything_beside_the_file_is_private(queue_path: Path) -> None:
    before = os.umask(0)
    try:
        database = Database(queue_path, create=True)
        put(database, "a")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in queue_path.parent.iterdir()}
    assert modes == {
        "jobs.sqlite": 0o600,
        "jobs.sqlite-wal": 0o600,
        "jobs.sqlite-shm": 0o600,
        "jobs.sqlite.bell": 0o700,
    }
    database.close()


@pytest.mark.parametrize("exists", [True, False])
def test_an_unsafe_filesystem_is_refused(
    queue_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    if exists:
        database = Database(queue_path, create=True)
        put(database, "a")
        database.close()
    table = queue_path.parent / "mountinfo"
    table.write_text(f"1 0 0:1 / {queue_path.parent} rw - virtiofs tag rw\n")
    monkeypatch.setattr(filesystem, "MOUNTS", str(table))
    with pytest.raises(UnsafeFilesystem, match="virtiofs"):
        put(Database(queue_path, create=True), "b")
    assert queue_path.exists() is exists


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Every connection that any `Database` makes."""
    made: list[sqlite3.Connection] = []
    genuine = Database._connect

    def watched(self: Database, *args: Any) -> Any:
        database, connection = genuine(self, *args)
        made.append(connection)
        return database, connection

    monkeypatch.setattr(Database, "_connect", watched)
    return made


def test_every_connection_keeps_the_rules(
    database: Database, connections: list[sqlite3.Connection]
) -> None:
    put(database, "a")
    results.fetch(database, "a")
    database.close()
    put(database, "b")
    database.checkpoint()
    assert len(connections) == 4
    for each in connections[2:]:
        pragmas = {
            name: each.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("wal_autocheckpoint", "mmap_size", "foreign_keys", "trusted_schema",
                         "busy_timeout", "cell_size_check", "journal_mode")
        }  # fmt: skip
        assert pragmas.pop("busy_timeout") <= 1000
        assert pragmas == {
            "wal_autocheckpoint": 0,
            "mmap_size": 0,
            "foreign_keys": 1,
            "trusted_schema": 0,
            "cell_size_check": 1,
            "journal_mode": "wal",
        }


# Transactions


def test_an_exception_rolls_back(database: Database) -> None:
    put(database, "a")

    def fail() -> None:
        with database.write(durable=True) as writer:
            writer.execute("DELETE FROM litequeue_job")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert phases(database.path) == {"a": "ready"}
    put(database, "b")


@pytest.mark.parametrize("verb", ["enqueue", "enqueue_many"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_failure_in_the_middle_leaves_nothing(
    database: Database, monkeypatch: pytest.MonkeyPatch, verb: str, nth: int
) -> None:
    """Each statement of the verb fails once, and nothing of the others stays."""
    put(database, "before")
    names, action = {
        "enqueue": (
            ("ADD_QUEUE", "ADD_JOB", "ADD_PAYLOAD"),
            lambda: put(database, "a", queue="new"),
        ),
        "enqueue_many": (
            ("ADD_QUEUE", "ADD_JOBS", "ADD_PAYLOADS"),
            lambda: jobs.enqueue_many(database, [job("a", queue="new"), job("b")], NOW),
        ),
    }[verb]
    with monkeypatch.context() as patch:
        patch.setattr(jobs, names[nth - 1], "INSERT INTO nosuch VALUES (?)")
        with pytest.raises(StoreError):
            action()
    assert phases(database.path) == {"before": "ready"}
    assert rows(database.path, "SELECT name FROM litequeue_queue") == [("default",)]


def synchronous_of(action: Callable[[Database], object], database: Database) -> set[int]:
    """Return the value of PRAGMA synchronous at every COMMIT that ``action`` makes."""
    with database.write(durable=False) as writer:
        pass
    seen: set[int] = set()
    genuine = Database.commit

    def commit(self: Database, writer: sqlite3.Connection, count: int) -> None:
        seen.add(writer.execute("PRAGMA synchronous").fetchone()[0])
        genuine(self, writer, count)

    Database.commit = commit  # type: ignore[method-assign]  # put back below
    try:
        action(database)
    finally:
        Database.commit = genuine  # type: ignore[method-assign]  # as it was
    assert writer
    return seen


ACTIONS: dict[str, tuple[int, Callable[[Database], object]]] = {
    "enqueue": (2, lambda d: put(d, "x")),
    "enqueue_many": (2, lambda d: jobs.enqueue_many(d, [job(), job()], NOW)),
    "claim": (1, lambda d: claim(d, 1)),
    "revoke": (2, lambda d: revoke(d, "b", now=NOW, keep=KEEP)),
    "prune": (1, lambda d: prune(d, NOW)),
}


@pytest.mark.parametrize("verb", ACTIONS)
def test_what_must_not_be_lost_is_synced(database: Database, verb: str) -> None:
    put(database, "a", "b")
    expected, action = ACTIONS[verb]
    assert synchronous_of(action, database) == {expected}


def test_an_outcome_is_synced_also_together_with_a_claim(database: Database) -> None:
    put(database, "a", "b", "c")
    lease = claim_one(database)
    assert synchronous_of(lambda d: step(d, succeed(lease), limit=1), database) == {2}
    assert synchronous_of(lambda d: claim(d, 1), database) == {1}


def test_with_durability_process_nothing_is_synced(queue_path: Path) -> None:
    database = Database(queue_path, create=True, durability="process")
    assert synchronous_of(lambda d: put(d, "a"), database) == {1}
    lease = claim_one(database)
    assert synchronous_of(lambda d: step(d, succeed(lease)), database) == {1}
    database.close()


# Waiting for other writers


@pytest.fixture
def hold(database: Database, foreign: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Somebody else in the middle of a write."""
    put(database, "before")
    enlist(database, 1)
    foreign.execute("BEGIN IMMEDIATE")
    yield foreign
    if foreign.in_transaction:
        foreign.execute("ROLLBACK")


def test_a_lock_that_stays_taken_is_reported_and_nothing_is_accepted(
    database: Database, hold: sqlite3.Connection
) -> None:
    database.clock = FakeClock()
    for action in (
        lambda: put(database, "a"),
        lambda: jobs.enqueue_many(database, [job("b")], NOW),
        lambda: claim(database),
        lambda: revoke(database, "before", now=NOW, keep=KEEP),
        database.checkpoint,
    ):
        with pytest.raises(QueueBusy, match="nothing was accepted"):
            action()
    hold.execute("ROLLBACK")
    assert phases(database.path) == {"before": "ready"}
    put(database, "c")


def test_the_wait_lasts_as_long_as_it_is_told_to(
    database: Database, hold: sqlite3.Connection
) -> None:
    clock = FakeClock()
    database.clock = clock
    started = clock.monotonic()
    with pytest.raises(QueueBusy):
        put(database, "a")
    assert 5.0 <= clock.monotonic() - started < 5.1
    started = clock.monotonic()
    with pytest.raises(QueueBusy):
        step(database, limit=1, wait=0.25)
    assert 0.25 <= clock.monotonic() - started < 0.3
    assert max(clock.slept) <= 0.002, "a signal is served between two looks"


def test_who_waits_gets_through_once_the_lock_is_free(
    database: Database, hold: sqlite3.Connection
) -> None:
    clock = FakeClock()
    database.clock = clock

    def release_later() -> None:
        if len(clock.slept) == 100:
            hold.execute("COMMIT")

    database.while_waiting = release_later
    put(database, "a")
    assert len(clock.slept) >= 100
    assert sorted(phases(database.path)) == ["a", "before"]


def test_readers_do_not_wait_for_a_writer(database: Database, hold: sqlite3.Connection) -> None:
    hold.execute("UPDATE litequeue_job SET priority = 99")
    record = results.fetch(database, "before")
    assert record is not None
    assert record.state == "PENDING"


def test_a_starving_writer_shuts_the_gate_and_opens_it_again(
    database: Database, hold: sqlite3.Connection
) -> None:
    database.clock = FakeClock()
    other = Database(database.path, create=True, clock=FakeClock())
    with pytest.raises(QueueBusy):
        step(other, limit=1, wait=0)  # opens its gate
    gate_open: list[bool] = []

    def look() -> None:
        assert other._gate is not None
        gate_open.append(other._gate.is_open())

    database.while_waiting = look
    with pytest.raises(QueueBusy):
        put(database, "a")
    assert gate_open[0]
    assert not gate_open[-1]
    look()
    assert gate_open[-1], "whoever gave up lets the others through"
    other.close()


def test_threads_share_one_database(database: Database) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for index in range(40):
                put(database, f"{number}-{index}")
                assert results.fetch(database, f"{number}-{index}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert len(phases(database.path)) == 240


# A full disk


def test_a_full_file_is_said_so_and_nothing_is_accepted(database: Database) -> None:
    put(database, "a")
    with database.write(durable=False) as writer:
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages}")
    big = '[["' + "x" * 100_000 + '"],{}]'
    with pytest.raises(QueueFull, match="nothing was accepted"):
        put(database, "b", body=big)
    with pytest.raises(QueueFull):
        jobs.enqueue_many(database, [job("c"), job("d", body=big)], NOW)
    assert phases(database.path) == {"a": "ready"}
    writer.execute("PRAGMA max_page_count = 1000000")
    put(database, "b", body=big)
    assert claim_one(database).id == "a"


# I/O errors


class Broken:
    """A connection whose disk fails at one kind of statement."""

    def __init__(self, genuine: sqlite3.Connection, at: str, *, after: bool, code: int) -> None:
        self._genuine = genuine
        self._at = at
        self._after = after
        self._code = code

    def __getattr__(self, name: str) -> Any:
        return getattr(self._genuine, name)

    def execute(self, statement: str, *values: Any) -> Any:
        if not statement.lstrip().startswith(self._at):
            return self._genuine.execute(statement, *values)
        if self._after:
            self._genuine.execute(statement, *values)
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = self._code
        raise error


IOERR_FSYNC = 1034


@pytest.mark.parametrize("after", [True, False])
def test_an_io_error_at_commit_leaves_the_outcome_open_and_sending_again_is_safe(
    database: Database, after: bool
) -> None:
    put(database, "before")
    genuine = database._writer
    assert genuine is not None
    database._writer = Broken(genuine, "COMMIT", after=after, code=IOERR_FSYNC)  # type: ignore[assignment]  # enough of one
    with pytest.raises(EnqueueUncertain) as caught:
        put(database, "a")
    assert caught.value.id == "a"
    assert database._writer is None, "what SQLite believes about the file is not believed any more"
    put(database, "a")
    assert sorted(phases(database.path)) == ["a", "before"]


@pytest.mark.parametrize("after", [True, False])
def test_a_batch_shares_one_fate(database: Database, after: bool) -> None:
    put(database, "before")
    genuine = database._writer
    assert genuine is not None
    database._writer = Broken(genuine, "COMMIT", after=after, code=IOERR_FSYNC)  # type: ignore[assignment]  # enough of one
    batch = [job("a"), job("b")]
    with pytest.raises(EnqueueUncertain):
        jobs.enqueue_many(database, batch, NOW)
    assert ("a" in phases(database.path)) is ("b" in phases(database.path)) is after
    jobs.enqueue_many(database, batch, NOW)
    assert sorted(phases(database.path)) == ["a", "b", "before"]


@pytest.mark.parametrize(
    ("code", "error"),
    [(sqlite3.SQLITE_FULL, QueueFull), (sqlite3.SQLITE_BUSY, QueueBusy)],
)
def test_a_commit_that_is_refused_is_not_uncertain(
    database: Database, code: int, error: type[Exception]
) -> None:
    put(database, "before")
    genuine = database._writer
    assert genuine is not None
    database._writer = Broken(genuine, "COMMIT", after=False, code=code)  # type: ignore[assignment]  # enough of one
    with pytest.raises(error):
        put(database, "a")
    database._writer = genuine
    assert phases(database.path) == {"before": "ready"}


def test_an_outcome_after_an_io_error_is_written_once(database: Database) -> None:
    put(database, "a")
    lease = claim_one(database)
    genuine = database._writer
    assert genuine is not None
    database._writer = Broken(genuine, "COMMIT", after=True, code=IOERR_FSYNC)  # type: ignore[assignment]  # enough of one
    with pytest.raises(IOFailure):
        step(database, succeed(lease, "1"))
    database.forget_connections()
    assert step(database, succeed(lease, "2")).zombies == [lease.seq]
    record = results.fetch(database, "a")
    assert record is not None
    assert record.result == "1"


# A file that is replaced


@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
def test_writes_into_a_file_that_nobody_can_find_are_refused(database: Database, how: str) -> None:
    put(database, "a")
    path = Path(database.path)
    away = path.with_name("away.sqlite")
    if how == "replaced":
        other = Database(away, create=True)
        put(other, "other")
        other.close()
        away.replace(path)
    elif how == "moved":
        path.rename(away)
    else:
        path.unlink()
    for action in (
        lambda: put(database, "b"),
        lambda: claim(database),
        database.checkpoint,
    ):
        with pytest.raises(QueueFileReplaced, match="restart this process"):
            action()
    database.close()
    with pytest.raises(QueueFileReplaced):
        put(database, "c")
    assert path.exists() is (how == "replaced"), "no new file takes the place of the old one"


# Checkpoints


def test_checkpoints_run_only_under_the_write_lock(
    database: Database, foreign: sqlite3.Connection
) -> None:
    """While one runs nobody else can write: SQLite before 3.51.3 could lose the commit."""
    put(database, "a")
    results.fetch(database, "a")
    reader = database._reader
    assert reader is not None
    foreign.execute("PRAGMA busy_timeout = 0")
    attempts: list[str] = []

    def look(statement: str) -> None:
        if "wal_checkpoint" in statement:
            try:
                foreign.execute("BEGIN IMMEDIATE")
                foreign.execute("ROLLBACK")
                attempts.append("could write")
            except sqlite3.OperationalError:
                attempts.append("could not")

    reader.set_trace_callback(look)
    database.checkpoint()
    jobs.enqueue_many(database, [job() for _ in range(checkpoints.CHECKPOINT_EVERY)], NOW)
    reader.set_trace_callback(None)
    assert attempts == ["could not", "could not"]


def test_no_statement_of_ours_checkpoints_on_the_writer(database: Database) -> None:
    put(database, "a")
    writer = database._writer
    assert writer is not None
    seen: list[str] = []
    writer.set_trace_callback(seen.append)
    jobs.enqueue_many(database, [job() for _ in range(3 * checkpoints.CHECKPOINT_EVERY)], NOW)
    database.checkpoint()
    writer.set_trace_callback(None)
    assert seen
    assert not [statement for statement in seen if "checkpoint" in statement]


def test_a_checkpoint_that_fails_does_not_make_the_commit_look_failed(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    put(database, "a")
    results.fetch(database, "a")
    genuine = database._reader
    assert genuine is not None
    database._reader = Broken(genuine, "PRAGMA wal", after=False, code=266)  # type: ignore[assignment]  # enough of one
    with caplog.at_level(logging.WARNING):
        jobs.enqueue_many(database, [job() for _ in range(checkpoints.CHECKPOINT_EVERY)], NOW)
    assert "was not checkpointed" in caplog.text
    with pytest.raises(StoreError):
        database.checkpoint()
    database._reader = genuine
    put(database, "b")
    assert len(phases(database.path)) == checkpoints.CHECKPOINT_EVERY + 2


def test_a_long_reader_delays_a_checkpoint_and_harms_nothing(
    database: Database, foreign: sqlite3.Connection
) -> None:
    put(database, "a")
    foreign.execute("BEGIN")
    assert foreign.execute("SELECT count(*) FROM litequeue_job").fetchall() == [(1,)]
    jobs.enqueue_many(database, [job() for _ in range(50)], NOW)
    database.checkpoint()
    assert foreign.execute("SELECT count(*) FROM litequeue_job").fetchall() == [(1,)]
    foreign.execute("ROLLBACK")
    database.checkpoint()
    assert len(phases(database.path)) == 51


def test_the_wal_of_producers_that_are_gone_is_written_back(database: Database) -> None:
    put(database, "mine")
    database.checkpoint_if_written(wait=1)
    before = Path(database.path).stat().st_mtime_ns
    database.checkpoint_if_written(wait=1)
    assert Path(database.path).stat().st_mtime_ns == before, "nothing was written since"
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("PRAGMA wal_autocheckpoint = 0")
        other.execute("INSERT INTO litequeue_enqueue (task) VALUES ('t')")
        database.checkpoint_if_written(wait=1)
        assert Path(database.path).stat().st_mtime_ns > before


def test_twenty_thousand_jobs_leave_a_small_wal(queue_path: Path) -> None:
    database = Database(queue_path, create=True)
    wal, largest = Path(f"{queue_path}-wal"), 0
    for _ in range(20):
        jobs.enqueue_many(database, [job() for _ in range(1_000)], NOW)
        for _ in range(4):
            step(database, *(succeed(lease, "1") for lease in claim(database, 250)))
        largest = max(largest, wal.stat().st_size)
    database.close()
    assert problems(queue_path) == []
    assert rows(queue_path, "SELECT count(*) FROM litequeue_job WHERE phase = 'done'") == [
        (20_000,)
    ]
    assert largest < 8 << 20
    assert not wal.exists(), "the last to close leaves nothing behind"


# Noticing others


def test_the_data_version_changes_with_commits_of_others_only(
    database: Database, foreign: sqlite3.Connection
) -> None:
    before = database.data_version()
    put(database, "mine")
    results.fetch(database, "mine")
    assert database.data_version() == before
    foreign.execute("BEGIN IMMEDIATE")
    foreign.execute("INSERT INTO litequeue_enqueue (task) VALUES ('t')")
    assert database.data_version() == before
    foreign.execute("COMMIT")
    assert database.data_version() != before


# Processes


FORK = """
import os, sys, threading
from litequeue.store import Database, jobs, results
from litequeue.job import Job

database = Database(sys.argv[1], create=True)
def put(id):
    jobs.enqueue(database, Job(id, "t", "[[],{}]", "default"), 1.0)

def keep_putting(number):
    for index in range(60):
        put(f"thread-{number}-{index}")

put("before")
threads = [threading.Thread(target=keep_putting, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
children = []
for number in range(4):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            for index in range(10):
                put(f"child-{number}-{index}")
            status = 0
        finally:
            os._exit(status)
    children.append(pid)
for thread in threads:
    thread.join()
put("after")
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))
"""


def test_forks_while_threads_enqueue_lose_nothing(queue_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORK, str(queue_path)], check=True, timeout=50)
    expected = {"before", "after"}
    expected |= {f"thread-{n}-{i}" for n in range(4) for i in range(60)}
    expected |= {f"child-{n}-{i}" for n in range(4) for i in range(10)}
    assert set(phases(queue_path)) == expected
    assert problems(queue_path) == []


def test_two_processes_write_at_the_same_time(queue_path: Path) -> None:
    script = (
        "import sys\n"
        "from litequeue.store import Database, jobs\n"
        "from litequeue.job import Job\n"
        "d = Database(sys.argv[1], create=True)\n"
        "for i in range(150):\n"
        "    jobs.enqueue(d, Job(f'{sys.argv[2]}-{i}', 't', '[[],{}]', 'default'), 1.0)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(queue_path), str(number)])
        for number in range(3)
    ]
    try:
        wait_until(lambda: all(w.poll() is not None for w in writers), 50)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(phases(queue_path)) == 450
    assert problems(queue_path) == []


def test_who_opens_after_writers_that_were_killed_checkpoints_their_wal(
    database: Database, queue_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "LARGE_WAL", 200_000)
    monkeypatch.setattr(checkpoints, "CHECKPOINT_EVERY", 1_000_000)
    for number in range(200):
        put(database, f"{number}")
    wal = Path(f"{queue_path}-wal")
    assert wal.stat().st_size > checkpoints.LARGE_WAL
    monkeypatch.setattr(checkpoints, "CHECKPOINT_EVERY", 1000)
    late = Database(queue_path, create=True)
    put(late, "late")
    put(late, "later")  # begins the WAL anew, if all of it was written back
    with late.read() as reader:
        frames = reader.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    assert frames < 20
    late.close()


# Soft time limits


@pytest.fixture
def guard() -> Iterator[SignalGuard]:
    """Say that user code runs here, as the attempt 1."""
    guard = SignalGuard()
    guard.begin(1)
    yield guard
    guard.end()


def test_a_soft_limit_strikes_after_the_commit(database: Database, guard: SignalGuard) -> None:
    def write() -> None:
        with database.write(durable=False) as writer:
            guard.interrupt(1)
            writer.execute("INSERT INTO litequeue_meta (key, value) VALUES ('mine', 'kept')")

    with pytest.raises(SoftTimeLimitExceeded):
        write()
    with database.read() as reader:
        found = reader.execute("SELECT value FROM litequeue_meta WHERE key = 'mine'").fetchall()
    assert found == [("kept",)]


def test_it_does_not_hide_that_a_transaction_failed(database: Database, guard: SignalGuard) -> None:
    def write() -> None:
        with database.write(durable=False):
            guard.interrupt(1)
            raise KeyError("mine")

    with pytest.raises(SoftTimeLimitExceeded) as caught:
        write()
    assert isinstance(caught.value.__context__, KeyError)
    assert database._writer is not None
    assert not database._writer.in_transaction


def test_it_strikes_after_the_reader_is_back(database: Database, guard: SignalGuard) -> None:
    read: list[object] = []

    def look() -> None:
        with database.read() as reader:
            guard.interrupt(1)
            read.append(reader.execute("SELECT 1").fetchone())

    with pytest.raises(SoftTimeLimitExceeded):
        look()
    assert read == [(1,)]
    assert not database._read_lock.locked()


@pytest.mark.parametrize("verb", ["data_version", "checkpoint", "close"])
def test_other_verbs_are_finished_first(
    database: Database, guard: SignalGuard, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    struck: list[bool] = []
    genuine = database._lock

    class Striking:
        """The lock: whoever has taken it is struck."""

        def __enter__(self) -> None:
            genuine.acquire()
            struck.append(guard.interrupt(1))

        def __exit__(self, *_: object) -> None:
            genuine.release()

        def acquire(self, timeout: float) -> bool:
            self.__enter__()
            return True

        def release(self) -> None:
            genuine.release()

    with database.read():
        pass
    monkeypatch.setattr(database, "_lock", Striking())
    with pytest.raises(SoftTimeLimitExceeded):
        getattr(database, verb)()
    held = genuine.locked()
    if held:  # or nobody could close the file
        genuine.release()
    assert struck == [True]
    assert not held


def test_who_waits_for_other_writers_is_struck_at_once(
    database: Database, guard: SignalGuard, hold: sqlite3.Connection
) -> None:
    database.clock = clock = FakeClock()
    database.busy_timeout = 3600.0
    with database.read():
        pass

    def strike() -> None:
        guard.interrupt(1)

    database.while_waiting = strike
    with pytest.raises(SoftTimeLimitExceeded):
        put(database, "a")
    assert clock.monotonic() < FakeClock().monotonic() + 1
    assert not database._lock.locked()
    hold.execute("ROLLBACK")
    put(database, "b")
