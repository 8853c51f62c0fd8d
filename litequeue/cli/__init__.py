"""The command line: one file per family of commands, imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Final

import click

from litequeue.cli.failure import APP, CLOSED_PIPE, DATABASE, FAILED, INTERRUPTED, NO_SUCH_THING
from litequeue.cli.output import clean, note
from litequeue.exceptions import LiteQueueError

_FAMILIES: Final = {
    "Run": {
        "worker": ("worker", "Run the jobs in DB until stopped."),
        "beat": ("beat", "Send what is due, and run nothing."),
        "demo": ("demo", "Kill a worker while it works, and lose nothing."),
    },
    "Send": {
        "enqueue": ("enqueue", "Send a job from the shell."),
        "schedule": ("schedule", "List and change what is sent again and again."),
    },
    "Look": {
        "jobs": ("jobs", "List jobs, the last accepted first."),
        "show": ("jobs", "Show everything about a job, or how far a group is."),
        "queues": ("lists", "List the queues and what waits in them."),
        "tasks": ("lists", "List the tasks that can be sent."),
        "workers": ("lists", "List the workers, and say which are alive."),
        "inspect": ("control", "Ask the workers of DB."),
        "events": ("events", "Show what was reported, the last event last."),
    },
    "Change": {
        "retry": ("changes", "Run finished jobs again, under the same ids."),
        "revoke": ("revoking", "Call off jobs."),
        "purge": ("changes", "Delete all jobs that have not started."),
        "pause": ("pausing", "Have no more jobs of a queue started."),
        "resume": ("pausing", "Have the jobs of a paused queue started again."),
        "control": ("control", "Tell the workers of DB what to do."),
    },
    "Set up": {
        "migrate": ("database", "Make DB a queue file, or bring it up to date."),
        "completion": ("completion", "Print the shell's completion script."),
    },
}
_COMMANDS: Final = {name: entry for family in _FAMILIES.values() for name, entry in family.items()}
_CELERYS: Final = {
    "call": "enqueue DB TASK", "list": "queues DB", "report": "inspect DB report",
    "result": "show DB ID", "status": "workers DB",
}  # fmt: skip
"""Commands that go by another name in Celery."""
_PLANNED: Final = (
    "backup", "dashboard", "doctor", "graduate", "prune", "stats", "top",
)  # fmt: skip
_EXAMPLES: Final = """\
Examples:

\b
  litequeue worker jobs.sqlite -A tasks:app
  litequeue jobs jobs.sqlite --state failed"""


class _Commands(click.Group):
    """Finds commands by name without importing the others."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"litequeue.cli.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one may have been meant."""
        name = args[0]
        if name not in _COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            if name in _PLANNED:
                raise click.UsageError(f"the command {name!r} is not built yet", ctx)
            if name in _CELERYS:
                raise click.UsageError(
                    f"no command {name!r}: what Celery calls so is `litequeue {_CELERYS[name]}`",
                    ctx,
                )
            from litequeue.nearest import did_you_mean

            raise click.UsageError(f"no command {name!r}{did_you_mean(name, [*_COMMANDS])}", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read what stands before the command; Celery has -A there."""
        if args and (args[0].startswith(("-A", "--app"))):
            name = next((word for word in args if word in ("worker", "beat")), "worker")
            raise click.UsageError(
                f"-A stands behind the command: say `litequeue {name} jobs.sqlite -A tasks:app`",
                ctx,
            )
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; click itself would call a closed pipe a failure."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise click.exceptions.Exit(CLOSED_PIPE) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, family by family."""
        for family, commands in _FAMILIES.items():
            with formatter.section(family):
                formatter.write_dl(
                    [(f"{name:<10}", summary) for name, (_, summary) in commands.items()]
                )


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    subcommand_metavar="COMMAND DB ...",
    epilog=_EXAMPLES,
)
@click.version_option(package_name="litequeue-jobs", prog_name="litequeue")
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks of errors.")
def root(verbose: bool) -> None:
    """A job queue in one SQLite file."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; every error is one sentence, and its exit code says of what kind."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        _print_anything()
        code = _run(given)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # What is still in the buffer would fail again, with a traceback, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CLOSED_PIPE
    sys.exit(code)


def _run(given: list[str]) -> int:
    try:
        code: object = root.main(given or ["--help"], prog_name="litequeue", standalone_mode=False)
    except click.Abort:
        return INTERRUPTED
    except click.UsageError as error:
        note(f"litequeue: {_sentence(error)}")
        return error.exit_code
    except (click.ClickException, LiteQueueError, NotImplementedError) as error:
        if given[0] in ("-v", "--verbose"):
            import traceback

            traceback.print_exc()
        note(f"litequeue: {_words(error)}")
        return exit_code(error)
    return code if isinstance(code, int) else 0


def _words(error: Exception) -> str:
    if isinstance(error, click.ClickException):
        return error.format_message()
    return f"not built yet: {error}" if isinstance(error, NotImplementedError) else str(error)


def _sentence(error: click.UsageError) -> str:
    """Return what was wrong, and the help to ask for."""
    text = error.format_message().rstrip(".")
    if "`litequeue " in text:
        return text
    path = error.ctx.command_path.replace("[DB]", "DB") if error.ctx is not None else "litequeue"
    return f"{text[:1].lower()}{text[1:]}; see `{path} --help`"


def _print_anything() -> None:
    """Have output that is closed, or whose encoding lacks a character, not end in an error."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115 - it stays open
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def exit_code(error: Exception) -> int:
    """Return the exit code of an error: 3 database, 4 app, 5 no such job, 1 everything else."""
    from litequeue.exceptions import (
        EnqueuedAtImport,
        EntryNotFound,
        ImproperlyConfigured,
        JobNotFound,
        NotRegistered,
        StoreError,
    )

    if isinstance(error, click.ClickException):
        return error.exit_code
    for kind, code in (
        (StoreError, DATABASE),
        ((JobNotFound, EntryNotFound), NO_SUCH_THING),
        ((EnqueuedAtImport, ImproperlyConfigured, NotRegistered), APP),
        (NotImplementedError, 2),
    ):
        if isinstance(error, kind):
            return code
    return FAILED


__all__ = ["clean", "exit_code", "main", "root"]
