"""The SQLite library that peewee uses, and whether it has the WAL-reset bug.

One library per file and process: two would not know of each other's locks.  peewee takes
pysqlite3 where that is installed and not older, and so do we; nobody else here imports sqlite3.
peewee itself is loaded when a file is first opened: it takes half the time of our own import.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if not TYPE_CHECKING:
    try:
        from pysqlite3 import dbapi2
    except ImportError:
        pass
    else:
        if dbapi2.sqlite_version_info >= sqlite3.sqlite_version_info:
            sqlite3 = dbapi2

__all__ = ["VERSION", "has_wal_reset_bug", "lenient", "sqlite3"]

VERSION: Final = str(sqlite3.sqlite_version)


def has_wal_reset_bug(version: str = VERSION) -> bool:
    """Tell whether a checkpoint in this SQLite can lose a commit (sqlite.org/wal.html#walresetbug).

    Versions 3.7.0 to 3.51.2, but for the backports 3.44.6 and 3.50.7.  litequeue's own
    checkpoints are guarded; those of other programs that write to the file are not.
    """
    numbers = tuple(int(part) for part in version.split(".")[:3])
    if numbers[:2] == (3, 44):
        return numbers < (3, 44, 6)
    if numbers[:2] == (3, 50):
        return numbers < (3, 50, 7)
    return (3, 7, 0) <= numbers <= (3, 51, 2)


@contextlib.contextmanager
def lenient(connection: sqlite3.Connection) -> Iterator[None]:
    """Have text that is no UTF-8 read with marks in it: others may write to the file, too."""
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        yield
    finally:
        connection.text_factory = str
