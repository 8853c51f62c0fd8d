"""Commands about the file itself."""

from __future__ import annotations

import click

from litequeue.cli import pyproject
from litequeue.cli.output import print_json, say
from litequeue.cli.parameters import Command, database_argument, json_option


@click.command(cls=Command, example="litequeue migrate jobs.sqlite")
@database_argument
@json_option
def migrate(db: str, as_json: bool) -> None:
    """Make DB a queue file, or bring it up to date."""
    from litequeue.store import Database, migrations

    database = Database(db, busy_timeout=pyproject.settings().queue_busy_timeout, create=True)
    try:
        with database.write(durable=True):
            pass
    finally:
        database.close()
    if as_json:
        print_json(path=database.path, schema=migrations.newest())
    else:
        say(f"{database.path} is up to date")
