"""How ``litequeue schedule`` reads its line: DB, a verb, and names that may begin with a dash."""

from __future__ import annotations

import os
import shlex
from itertools import takewhile
from typing import Any, Final

import click

from litequeue.cli.calls import is_argument
from litequeue.cli.parameters import Command, default_database
from litequeue.nearest import did_you_mean

_PLAIN: Final = "\0"
"""Before a word that is no option, whatever it begins with: nobody can type it."""
_FILES: Final = (".sqlite", ".sqlite3", ".db")
_HELP: Final = {"-h", "--help"}


class Verbs(click.Group):
    """DB, then what to do with its entries; without that they are listed."""

    def __init__(self, *given: Any, example: str, **options: Any) -> None:
        super().__init__(*given, **options)
        self.example = example

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read DB; options that follow it, with no verb before them, are those of the list."""
        if args and args[0] in self.commands and not ctx.resilient_parsing:
            args = _with_database(ctx, args)
        first, rest = args[:1], args[1:]
        if rest and not first[0].startswith("-") and all(word.startswith("-") for word in rest):
            args = [*rest, *first]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one may have been meant."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            near = did_you_mean(args[0], [*self.commands])
            verbs = ", ".join(self.commands)
            raise click.UsageError(f"schedule has no {args[0]!r}{near}; it has {verbs}", ctx)
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs, those that look first."""
        return list(self.commands)


def _with_database(ctx: click.Context, args: list[str]) -> list[str]:
    """Return the line with DB before its verb; raises `click.UsageError` where none is known."""
    verb, *rest = args
    if os.path.isfile(verb):  # noqa: PTH113 - pathlib takes 5 ms to import
        return args
    if _HELP & {*rest}:
        return ["jobs.sqlite", *args]  # which is not opened
    if rest and rest[0].endswith(_FILES):
        how = shlex.join(["litequeue", "schedule", rest[0], verb, *rest[1:]])
        raise click.UsageError(f"the queue file comes first: say `{how}`", ctx)
    known = default_database()
    if known is None:
        how = shlex.join(["litequeue", "schedule", "jobs.sqlite", *args])
        raise click.UsageError(f"which queue file? say it first, as `{how}`", ctx)
    return [known, *args]


class TemplateCommand(Command):
    """A verb with arguments for a task: -5 is a number, and words behind "--" are no options."""

    def __init__(self, name: str | None, *, example: str, **options: Any) -> None:
        # What is neither a number nor an option of ours is refused by `as_typed`.
        settings = {"ignore_unknown_options": True}
        super().__init__(name, example=example, context_settings=settings, **options)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the line; options that are known may follow the words behind "--"."""
        if "--" in args and not ctx.resilient_parsing:
            at = args.index("--")
            known = {option for param in self.get_params(ctx) for option in param.opts}
            plain = [*takewhile(lambda word: word.split("=")[0] not in known, args[at + 1 :])]
            rest = args[at + 1 + len(plain) :]
            args = [*args[:at], *(f"{_PLAIN}{word}" for word in plain), *rest]
        return super().parse_args(ctx, args)


def as_typed(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    """Return a word, or several, as they were typed; an option that is none is refused."""
    if isinstance(value, tuple):
        return tuple(word.removeprefix(_PLAIN) for word in value)
    is_option = value is not None and value.startswith("-") and not is_argument(value)
    if is_option and not ctx.resilient_parsing:
        raise click.UsageError(f"no such option: {value}", ctx)
    return None if value is None else value.removeprefix(_PLAIN)
