"""The command line: one file per family of commands, imported when it is used."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Final

import click

from litequeue.exceptions import LiteQueueError

_COMMANDS: Final = {
    "worker": ("litequeue.cli.worker", "worker"),
    "demo": ("litequeue.cli.demo", "demo"),
    "migrate": ("litequeue.cli.database", "migrate"),
}


class _Commands(click.Group):
    """Finds commands by name without importing the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="litequeue-jobs", prog_name="litequeue")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks of errors.")
def root(verbose: bool) -> None:
    """A job queue in one SQLite file."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error is one sentence, and its exit code says of what kind."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        code: Any = root.main(given, prog_name="litequeue", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except LiteQueueError as error:
        if "-v" in given or "--verbose" in given:
            raise
        click.echo(f"litequeue: {error}", err=True)
        sys.exit(exit_code(error))
    sys.exit(code if isinstance(code, int) else 0)


def exit_code(error: LiteQueueError) -> int:
    """Return the exit code of an error: 3 database, 4 app, 1 everything else."""
    from litequeue.exceptions import (
        EnqueuedAtImport,
        ImproperlyConfigured,
        NotRegistered,
        StoreError,
    )

    if isinstance(error, StoreError):
        return 3
    return 4 if isinstance(error, EnqueuedAtImport | ImproperlyConfigured | NotRegistered) else 1
