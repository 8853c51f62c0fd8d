"""The WAL-reset bug (SQLite 3.7.0 to 3.51.2) does not get through guarded checkpoints.

A checkpoint that meets a commit which starts the WAL anew can mark that commit as written back
although it was not (sqlite.org/wal.html#walresetbug).  With a large memory map the window is some
10 ms wide, and without the guard this probe loses jobs within seconds.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from litequeue.store import Database

WRITERS = 4
SECONDS = 5
FILLING = 200 << 20
"""Bytes in the file: the larger it is, the longer SQLite takes to map it."""


@pytest.fixture
def large_queue(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "jobs.sqlite"
    database = Database(path, create=True)
    assert database.data_version()
    database.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = OFF")
        file.execute("CREATE TABLE filling (content BLOB)")
        file.execute("INSERT INTO filling VALUES (zeroblob(?))", (FILLING,))
    yield path
    path.unlink()  # pytest keeps the directories of its last runs


@pytest.mark.crash
def test_no_commit_is_lost_to_a_checkpoint(large_queue: Path, tmp_path: Path) -> None:
    program = [sys.executable, "-m", "tests.crash.programs.writer", str(large_queue)]
    journals = [tmp_path / f"accepted-{number}" for number in range(WRITERS)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    writers = [
        subprocess.Popen([*program, str(journal), str(SECONDS)], env=environment)
        for journal in journals
    ]
    try:
        assert [writer.wait(timeout=50) for writer in writers] == [0] * WRITERS
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
    accepted = {id for journal in journals for id in journal.read_text().split()}
    assert len(accepted) > 1000
    with closing(sqlite3.connect(large_queue)) as file:
        file.execute("PRAGMA wal_autocheckpoint = 0")
        stored = {id for (id,) in file.execute("SELECT id FROM litequeue_job")}
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert accepted == stored
