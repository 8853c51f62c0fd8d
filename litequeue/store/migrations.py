"""From no tables to this version's, under the write lock, in one transaction.

The version of the schema is a row of `litequeue_meta`; `user_version` and `application_id` mark
only files that litequeue made, because an application may own the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from peewee import SchemaManager

from litequeue.exceptions import NotAQueue, SchemaMismatch
from litequeue.store import beat_models, flow_models, models, views

APPLICATION_ID: Final = 0x4C697451  # "LitQ"
TABLE_NAMES: Final = "SELECT name FROM sqlite_schema WHERE type = 'table'"
VIEW_NAMES: Final = "SELECT name FROM sqlite_schema WHERE type = 'view'"
PARKED_BY_TASK_AND_QUEUE: Final = """
CREATE INDEX litequeue_job_parked ON litequeue_job (task, queue) WHERE phase = 'parked'
"""
READ_VERSION: Final = "SELECT CAST(max(value) AS INTEGER) FROM litequeue_meta WHERE key = 'schema'"
WRITE_VERSION: Final = "INSERT OR REPLACE INTO litequeue_meta (key, value) VALUES ('schema', ?)"


def _create_everything(database: Any) -> None:
    for model in models.TABLES:
        SchemaManager(model, database).create_all(safe=False)
    _create_triggers(database)
    _create_views(database)
    database.execute_sql(f"PRAGMA application_id = {APPLICATION_ID}")


def _create_triggers(database: Any) -> None:
    for statement in flow_models.TRIGGERS:
        database.execute_sql(statement)


def _create_views(database: Any) -> None:
    for statement in views.VIEWS:
        database.execute_sql(statement)


def _drop_views(database: Any) -> None:
    """Drop our views: none stays as it was when tables change, and a step need not know them."""
    for (name,) in database.execute_sql(VIEW_NAMES).fetchall():
        if name.startswith("litequeue_"):
            database.execute_sql(f'DROP VIEW "{name}"')


def _add_remote_control(database: Any) -> None:
    """Go from 2 to 3: paused queues, commands, revocations, events, logs, evidence."""
    database.execute_sql("ALTER TABLE litequeue_queue ADD COLUMN paused REAL")
    database.execute_sql("ALTER TABLE litequeue_error ADD COLUMN evidence TEXT")
    for model in (models.Log, models.Command, models.Reply, models.Revocation, models.Event):
        SchemaManager(model, database).create_all(safe=False)
    # With the queue in it, or a paused queue's parked jobs would be stepped over by every claim.
    database.execute_sql("DROP INDEX litequeue_job_parked")
    database.execute_sql(PARKED_BY_TASK_AND_QUEUE)


def _add_entries(database: Any) -> None:
    """Go from 3 to 4: the entries of beat, and their ticks."""
    for model in (beat_models.Entry, beat_models.Tick):
        SchemaManager(model, database).create_all(safe=False)


COLUMNS: Final = """
seq, id, task, queue, priority, phase, state, eta, expires, created, parent, retries, claims,
deaths, once, owner, token, pid, started, runtime, finished, keep_until, result
"""
INDEX_NAMES: Final = """
SELECT name FROM sqlite_schema
WHERE type = 'index' AND tbl_name = 'litequeue_job' AND sql IS NOT NULL
"""


def _add_workflows(database: Any) -> None:
    """Go from 4 to 5: jobs that wait for others, and what they wait for.

    A CHECK cannot be changed: the jobs move to a new table.
    """
    for (name,) in database.execute_sql(INDEX_NAMES).fetchall():
        database.execute_sql(f'DROP INDEX "{name}"')
    database.execute_sql("ALTER TABLE litequeue_job RENAME TO litequeue_job_4")
    SchemaManager(models.Job, database).create_all(safe=False)
    database.execute_sql(
        f"INSERT INTO litequeue_job ({COLUMNS}) SELECT {COLUMNS} FROM litequeue_job_4"
    )
    database.execute_sql("DROP TABLE litequeue_job_4")
    for model in flow_models.TABLES:
        SchemaManager(model, database).create_all(safe=False)
    _create_triggers(database)


FIRST: Final = 2
"""The first version of the schema that a release wrote: there is no way up from an older one."""
STEPS: Final[tuple[Callable[[Any], None], ...]] = (
    _add_remote_control, _add_entries, _add_workflows,
)  # fmt: skip
"""From each version, `FIRST` on, to the next; views are dropped before and made after them."""


def newest() -> int:
    """Return the version of the schema in `models`."""
    return FIRST + len(STEPS)


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
    version = int(database.execute_sql(READ_VERSION).fetchone()[0] or 0)
    if version > newest():
        raise SchemaMismatch(
            f"{database.database} has schema {version} and this litequeue knows {newest()}; "
            "upgrade litequeue-jobs here, or use the version that wrote the file"
        )
    if version < FIRST:
        raise SchemaMismatch(
            f"{database.database} has schema {version}, of a litequeue that was never released; "
            "let that one finish its jobs, then start with a new file"
        )
    return version


def migrate(database: Any) -> None:
    """Bring the file to this version.  The caller holds the write lock and commits."""
    version = current_version(database)
    if version == 0:
        _create_everything(database)
    elif version < newest():
        _drop_views(database)
        for step in STEPS[version - FIRST :]:
            step(database)
        _create_views(database)
    database.execute_sql(WRITE_VERSION, (str(newest()),))
