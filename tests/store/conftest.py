from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from litequeue.store import Database
from tests.store.steps import problems


@pytest.fixture
def database(queue_path: Path) -> Iterator[Database]:
    """A queue file; whatever a test does with it, it must be whole in the end."""
    database = Database(queue_path, create=True)
    yield database
    database.close()
    if queue_path.exists():
        assert problems(queue_path) == []


@pytest.fixture
def foreign(database: Database) -> Iterator[sqlite3.Connection]:
    """A connection of somebody else, in autocommit."""
    with database.write(durable=False):
        pass  # makes the file
    connection = sqlite3.connect(database.path, timeout=5, isolation_level=None)
    yield connection
    connection.close()
