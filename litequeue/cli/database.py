"""Commands about the file itself."""

from __future__ import annotations

import click

from litequeue.config import settings_from_environment
from litequeue.store import Database


@click.command()
@click.argument("db", type=click.Path(dir_okay=False))
def migrate(db: str) -> None:
    """Make DB a queue file, or bring it to this version's schema."""
    settings = settings_from_environment()
    database = Database(db, busy_timeout=settings.queue_busy_timeout, create=True)
    with database.write(durable=True):
        pass
    database.close()
    click.echo(f"{database.path} is up to date")
