from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from litequeue.exceptions import NotAQueue, QueueNotFound, SchemaMismatch, StoreError
from litequeue.store import Database, entries, migrations, queues, results, revocations
from litequeue.store.migrations import APPLICATION_ID
from tests.store.beat_steps import line
from tests.store.flows import chain, insert
from tests.store.steps import (
    KEEP,
    NOW,
    claim,
    claim_one,
    phases,
    problems,
    put,
    rows,
    step,
    success,
)

VERSION_2 = Path(__file__).with_name("version_2.sql")
"""A file as the last litequeue with schema 2 wrote it, with a job in every phase."""
VERSION_3 = Path(__file__).with_name("version_3.sql")
"""The same of schema 3, with what remote control, revocations and events leave."""
VERSION_4 = Path(__file__).with_name("version_4.sql")
"""The same of schema 4, with an entry of beat that has sent a job."""


def objects(path: Path) -> set[str]:
    found = rows(path, "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    return {row[0] for row in found}


def test_a_new_file_gets_everything_and_says_whose_it_is(queue_path: Path) -> None:
    database = Database(queue_path, create=True)
    put(database, "a")
    database.close()
    assert all(name.startswith("litequeue_") for name in objects(queue_path))
    assert {"litequeue_job", "litequeue_enqueue", "litequeue_jobs"} <= objects(queue_path)
    assert rows(queue_path, "PRAGMA application_id") == [(APPLICATION_ID,)]
    assert rows(queue_path, "PRAGMA journal_mode") == [("wal",)]
    assert rows(queue_path, "PRAGMA auto_vacuum") == [(2,)]
    assert rows(queue_path, "SELECT key, value FROM litequeue_meta WHERE key = 'schema'") == [
        ("schema", str(migrations.newest()))
    ]


def test_opening_again_changes_nothing(queue_path: Path) -> None:
    for _ in range(2):
        database = Database(queue_path, create=True)
        put(database, "a")
        database.close()
    assert rows(queue_path, "SELECT count(*) FROM litequeue_job") == [(1,)]


def test_an_empty_file_is_made_a_queue(queue_path: Path) -> None:
    queue_path.touch()
    put(Database(queue_path, create=True), "a")
    assert "litequeue_job" in objects(queue_path)


@pytest.mark.parametrize("exists", [True, False])
def test_who_may_not_create_does_not(queue_path: Path, exists: bool) -> None:
    if exists:
        queue_path.touch()
    database = Database(queue_path)
    with pytest.raises(QueueNotFound, match="litequeue migrate"):
        results.fetch(database, "a")
    assert queue_path.exists() is exists
    assert not exists or queue_path.stat().st_size == 0


@pytest.mark.parametrize("create", [True, False])
def test_somebody_elses_database_is_left_alone(queue_path: Path, create: bool) -> None:
    with closing(sqlite3.connect(queue_path)) as connection:
        connection.execute("CREATE TABLE customers (name)")
    before = queue_path.read_bytes()
    database = Database(queue_path, create=create)
    with pytest.raises(NotAQueue, match="'customers'"):
        put(database, "a")
    with pytest.raises(NotAQueue):
        results.fetch(database, "a")
    assert queue_path.read_bytes() == before
    assert sorted(path.name for path in queue_path.parent.iterdir()) == [queue_path.name]


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_schema_is_refused(queue_path: Path, create: bool) -> None:
    database = Database(queue_path, create=True)
    put(database, "a")
    database.close()
    with closing(sqlite3.connect(queue_path, isolation_level=None)) as connection:
        connection.execute("UPDATE litequeue_meta SET value = '999' WHERE key = 'schema'")
    with pytest.raises(SchemaMismatch, match="schema 999"):
        put(Database(queue_path, create=create), "b")
    assert rows(queue_path, "SELECT id FROM litequeue_job") == [("a",)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE litequeue_meta SET value = '1'",
        "UPDATE litequeue_meta SET value = CAST(X'ff' AS TEXT)",
        "DELETE FROM litequeue_meta",
    ],
)
def test_a_schema_that_no_release_wrote_is_refused_with_the_way_out(
    queue_path: Path, change: str
) -> None:
    database = Database(queue_path, create=True)
    put(database, "a")
    database.close()
    with closing(sqlite3.connect(queue_path, isolation_level=None)) as connection:
        connection.execute(f"{change} WHERE key = 'schema'")
    with pytest.raises(SchemaMismatch, match="never released; let that one finish"):
        put(Database(queue_path, create=True), "b")


def test_an_older_schema_is_brought_forward_by_who_may(
    queue_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(queue_path, create=True)
    put(database, "a")
    database.close()

    def add_colour(database: object) -> None:
        database.execute_sql("ALTER TABLE litequeue_job ADD COLUMN colour TEXT")  # type: ignore[attr-defined]  # peewee

    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, add_colour))
    with pytest.raises(SchemaMismatch, match="litequeue migrate"):
        claim_one(Database(queue_path))
    forward = Database(queue_path, create=True)
    assert claim_one(forward).id == "a"
    forward.close()
    assert rows(queue_path, "SELECT id, colour FROM litequeue_job") == [("a", None)]
    again = Database(queue_path, create=True)
    assert results.fetch(again, "a") is not None
    again.close()


def test_a_step_that_fails_leaves_the_file_as_it_was(
    queue_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(queue_path, create=True)
    put(database, "a")
    database.close()

    def half(database: object) -> None:
        database.execute_sql("ALTER TABLE litequeue_job ADD COLUMN colour TEXT")  # type: ignore[attr-defined]  # peewee
        database.execute_sql("NONSENSE")  # type: ignore[attr-defined]  # peewee

    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", (*migrations.STEPS, half))
        with pytest.raises(StoreError):
            put(Database(queue_path, create=True), "b")
    columns = {row[1] for row in rows(queue_path, "PRAGMA table_info(litequeue_job)")}
    assert "colour" not in columns
    again = Database(queue_path, create=True)
    assert claim_one(again, now=NOW).id == "a"
    again.close()


@pytest.mark.parametrize(
    "content", [b"not a database at all, " * 50, b"SQLite format 3\x00" + b"x" * 99]
)
def test_what_is_no_database_is_refused_in_our_words(queue_path: Path, content: bytes) -> None:
    queue_path.write_bytes(content)
    for use in (lambda d: put(d, "a"), lambda d: results.fetch(d, "a"), Database.data_version):
        with pytest.raises(StoreError, match=r"jobs\.sqlite"):
            use(Database(queue_path, create=True))
    assert queue_path.read_bytes() == content


@pytest.fixture
def old_path(queue_path: Path) -> Path:
    return written_by(VERSION_2, queue_path)


def written_by(script: Path, path: Path) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(script.read_text("utf-8"))
    return path


def schema(path: Path) -> dict[str, str]:
    """Return every object of the file and what it is, but for how names are quoted."""
    found = rows(path, "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%'")
    return {name: re.sub(r'[\s"(),]+', " ", sql).strip() for name, sql in found}


def contents(path: Path, *tables: str) -> dict[str, list[Any]]:
    """Return the rows of tables, without the columns that version 5 brought."""
    columns = {
        table: [row[1] for row in rows(path, f"PRAGMA table_info({table})") if row[1] != "flow"]
        for table in tables
    }
    return {
        table: rows(path, f"SELECT {', '.join(names)} FROM {table}")
        for table, names in columns.items()
    }


def test_a_file_of_version_2_becomes_one_of_this_version(old_path: Path, tmp_path: Path) -> None:
    before = contents(old_path, "litequeue_job", "litequeue_payload", "litequeue_worker",
                      "litequeue_worker_name")  # fmt: skip
    Database(old_path, create=True).data_version()
    new = Database(tmp_path / "new.sqlite", create=True)
    new.data_version()
    new.close()
    assert schema(old_path) == schema(tmp_path / "new.sqlite")
    assert rows(old_path, "SELECT * FROM litequeue_meta") == [("schema", str(migrations.newest()))]
    assert contents(old_path, *before) == before
    assert rows(old_path, "SELECT * FROM litequeue_queue") == [("default", None), ("mail", None)]
    columns = "id, attempt, state, type, message, evidence"
    assert rows(old_path, f"SELECT {columns} FROM litequeue_errors") == [
        ("failed", 1, "FAILURE", "ValueError", "broken", None),
        ("retried", 1, "RETRY", "OSError", "again", None),
    ]
    assert problems(old_path) == []


def test_a_file_of_version_2_goes_on_where_it_was(old_path: Path) -> None:
    database = Database(old_path, create=True)
    assert [lease.id for lease in claim(database, 9)] == ["ready"]
    assert queues.pause(database, "mail", NOW)
    assert not claim(database, 9, tasks=frozenset({"somebody.elses"}), parked=True)
    queues.resume(database, "mail")
    (parked,) = claim(database, 9, tasks=frozenset({"somebody.elses"}), parked=True)
    assert parked.id == "parked"
    assert revocations.revoke(
        database, ["scheduled", "leased", "succeeded"], now=NOW, keep=KEEP
    ) == revocations.Revoked(["scheduled"], ["leased"])
    put(database, "new")
    assert phases(old_path)["new"] == "ready"
    database.close()
    assert problems(old_path) == []


def test_who_may_not_create_does_not_bring_a_file_forward(old_path: Path) -> None:
    before = schema(old_path)
    with pytest.raises(SchemaMismatch, match="has schema 2; run `litequeue migrate"):
        claim_one(Database(old_path))
    assert schema(old_path) == before


def test_a_file_of_version_3_becomes_one_of_this_version(queue_path: Path, tmp_path: Path) -> None:
    written_by(VERSION_3, queue_path)
    tables = [name for (name,) in rows(queue_path, migrations.TABLE_NAMES)
              if name not in ("litequeue_meta", "sqlite_sequence")]  # fmt: skip
    before = contents(queue_path, *tables)
    assert all(before[f"litequeue_{name}"] for name in ("command", "reply", "revocation", "event"))
    database = Database(queue_path, create=True)
    new = Database(tmp_path / "new.sqlite", create=True)
    new.data_version()
    database.data_version()
    assert schema(queue_path) == schema(tmp_path / "new.sqlite")
    assert rows(queue_path, "SELECT * FROM litequeue_meta") == [
        ("schema", str(migrations.newest()))
    ]
    assert contents(queue_path, *tables) == before
    entries.add(database, line(), NOW)
    assert rows(queue_path, "SELECT name, next FROM litequeue_schedule") == [
        ("nightly", "2023-11-14 22:13:30")
    ]
    assert [lease.id for lease in claim(database, 9)] == ["ready"]
    new.close()
    database.close()
    assert problems(queue_path) == []


def test_a_file_of_version_4_becomes_one_of_this_version(queue_path: Path, tmp_path: Path) -> None:
    written_by(VERSION_4, queue_path)
    tables = [name for (name,) in rows(queue_path, migrations.TABLE_NAMES)
              if name not in ("litequeue_meta", "sqlite_sequence")]  # fmt: skip
    before = contents(queue_path, *tables)
    assert before["litequeue_entry"]
    assert before["litequeue_tick"]
    database = Database(queue_path, create=True)
    new = Database(tmp_path / "new.sqlite", create=True)
    new.data_version()
    database.data_version()
    assert schema(queue_path) == schema(tmp_path / "new.sqlite")
    assert contents(queue_path, *tables) == before
    assert rows(queue_path, "SELECT count(*) FROM litequeue_job WHERE flow IS NOT NULL") == [(0,)]
    first = claim(database, 9)
    insert(database, chain("a", "b"))
    step(database, *(success(lease) for lease in [*first, claim_one(database)]))
    assert claim_one(database).id == "b"
    new.close()
    database.close()
    assert problems(queue_path) == []
