"""The SQLite library that peewee uses, and whether it has the WAL-reset bug.

One library per file and process: two would not know of each other's locks.  peewee takes
pysqlite3 where that is installed and newer, so nobody else here imports sqlite3 by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import peewee

if TYPE_CHECKING:
    import sqlite3
else:
    sqlite3 = peewee.sqlite3

__all__ = ["VERSION", "has_wal_reset_bug", "sqlite3"]

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
