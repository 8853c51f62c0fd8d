"""From no tables to this version's, under the write lock, in one transaction.

The version of the schema is a row of `litequeue_meta`; `user_version` and `application_id` mark
only files that litequeue made, because an application may own the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from peewee import SchemaManager

from litequeue.exceptions import NotAQueue, SchemaMismatch
from litequeue.store import models

APPLICATION_ID: Final = 0x4C697451  # "LitQ"
TABLE_NAMES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table'"
READ_VERSION: Final = "SELECT value FROM litequeue_meta WHERE key = 'schema'"
WRITE_VERSION: Final = "INSERT OR REPLACE INTO litequeue_meta (key, value) VALUES ('schema', ?)"


def _create_everything(database: Any) -> None:
    for model in models.TABLES:
        SchemaManager(model, database).create_all(safe=False)
    for statement in models.VIEWS:
        database.execute_sql(statement)
    database.execute_sql(f"PRAGMA application_id = {APPLICATION_ID}")


STEPS: Final[tuple[Callable[[Any], None], ...]] = (_create_everything,)
UNRELEASED: Final = 1
"""The last version of the schema that no release wrote: there is no way up from it."""


def newest() -> int:
    """Return the version of the schema in `models`."""
    return UNRELEASED + len(STEPS)


def current_version(database: Any) -> int:
    """Return the schema version of the file, 0 for an empty one.

    Raises `NotAQueue` when other tables live there, `SchemaMismatch` for a newer version.
    """
    names = {row[0] for row in database.execute_sql(TABLE_NAMES).fetchall()}
    if "litequeue_meta" not in names:
        if names:
            raise NotAQueue(
                f"{database.database} is a database of something else "
                f"(it has a table {min(names)!r}); give the queue a file of its own"
            )
        return 0
    version = int(database.execute_sql(READ_VERSION).fetchone()[0])
    if version > newest():
        raise SchemaMismatch(
            f"{database.database} has schema {version} and this litequeue knows {newest()}; "
            "upgrade litequeue-jobs here, or use the version that wrote the file"
        )
    if version <= UNRELEASED:
        raise SchemaMismatch(
            f"{database.database} has schema {version}, of a litequeue that was never released; "
            "let that one finish its jobs, then start with a new file"
        )
    return version


def migrate(database: Any) -> None:
    """Bring the file to this version.  The caller holds the write lock and commits."""
    for step in STEPS[max(0, current_version(database) - UNRELEASED) :]:
        step(database)
    database.execute_sql(WRITE_VERSION, (str(newest()),))
