from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from litequeue.exceptions import NotAQueue, QueueNotFound, SchemaMismatch, StoreError
from litequeue.store import Database, migrations, results
from litequeue.store.migrations import APPLICATION_ID
from tests.store.steps import NOW, claim_one, put, rows


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


def test_a_schema_that_no_release_wrote_is_refused_with_the_way_out(queue_path: Path) -> None:
    database = Database(queue_path, create=True)
    put(database, "a")
    database.close()
    with closing(sqlite3.connect(queue_path, isolation_level=None)) as connection:
        connection.execute("UPDATE litequeue_meta SET value = '1' WHERE key = 'schema'")
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
