"""``litequeue inspect`` and ``control``: ask the workers of a file, and tell them what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from litequeue.cli.failure import FAILED, NO_SUCH_THING, NO_WORKER, Failure
from litequeue.cli.output import clean, note, print_block, print_json, say
from litequeue.cli.parameters import (
    Command,
    Duration,
    Name,
    database_argument,
    json_option,
)
from litequeue.cli.queue_file import has_live_worker, lives, nobody_works, opened
from litequeue.cli.selection import split
from litequeue.nearest import did_you_mean

if TYPE_CHECKING:
    from litequeue.store import Database

F = TypeVar("F", bound=Callable[..., Any])


def _yes(text: str) -> bool:
    if text.lower() not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError
    return text.lower() in ("1", "true", "yes", "on")


def _seconds(text: str) -> float | None:
    return None if text.lower() in ("none", "-") else float(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A command to workers: what it does, and what is typed behind its name.

    ``takes`` are arguments in order, each with what makes a value of a word; the first ``needs``
    of them must be there.  The words that are left are the argument ``rest``.
    """

    summary: str
    takes: Sequence[tuple[str, Callable[[str], Any]]] = ()
    needs: int = 0
    rest: str | None = None
    needs_rest: bool = False

    @property
    def usage(self) -> str:
        """What is typed behind the name."""
        words = [
            name.upper() if at < self.needs else f"[{name.upper()}]"
            for at, (name, _) in enumerate(self.takes)
        ]
        if self.rest is not None:
            rest = self.rest.removesuffix("s").upper()
            words.append(f"{rest}..." if self.needs_rest else f"[{rest}]...")
        return " ".join(words)

    def arguments(self, words: Sequence[str]) -> dict[str, Any]:
        """Return what was typed as arguments; raises ValueError."""
        taken, rest = words[: len(self.takes)], list(words[len(self.takes) :])
        too_many = bool(rest) and self.rest is None
        if len(taken) < self.needs or too_many or (self.needs_rest and not rest):
            raise ValueError
        given = {
            name: convert(word) for (name, convert), word in zip(self.takes, taken, strict=False)
        }
        if self.rest is not None and rest:
            given[self.rest] = rest
        return given


INSPECT: Final[Mapping[str, Method]] = {
    "active": Method(summary="The jobs that run."),
    "active_queues": Method(summary="The queues that jobs are taken from."),
    "clock": Method(summary="A number that grows with every command."),
    "conf": Method(summary="The settings that were changed, or all.",
                   takes=[("with_defaults", _yes)]),
    "memdump": Method(summary="The last figures of memsample.", takes=[("samples", int)]),
    "memsample": Method(summary="The memory of all processes of a worker."),
    "ping": Method(summary="Who is there."),
    "query_task": Method(summary="What is known of jobs.", rest="ids", needs_rest=True),
    "registered": Method(summary="The tasks, with attributes of theirs.", rest="taskinfoitems"),
    "report": Method(summary="What is installed, for a report of a bug."),
    "reserved": Method(summary="The jobs that are leased and do not run yet."),
    "revoked": Method(summary="The ids of jobs that must not run."),
    "scheduled": Method(summary="The jobs that are due later."),
    "stats": Method(summary="Counts and figures."),
}  # fmt: skip
CONTROL: Final[Mapping[str, Method]] = {
    "add_consumer": Method(summary="Take jobs of a queue, too.", takes=[("queue", str)], needs=1),
    "autoscale": Method(summary="Change the range of --autoscale.",
                        takes=[("max", int), ("min", int)], needs=1),
    "cancel_consumer": Method(summary="Take no more jobs of a queue.",
                              takes=[("queue", str)], needs=1),
    "disable_events": Method(summary="Write no more events of jobs."),
    "enable_events": Method(summary="Write events of jobs."),
    "heartbeat": Method(summary="Write a worker-heartbeat event now."),
    "pool_grow": Method(summary="Run N more jobs at once.", takes=[("n", int)]),
    "pool_restart": Method(summary="Replace the children; import all anew with RELOAD yes.",
                           takes=[("reload", _yes)]),
    "pool_shrink": Method(summary="Run N jobs fewer at once.", takes=[("n", int)]),
    "revoke": Method(summary="Revoke jobs; see `litequeue revoke` for filters.",
                     rest="task_id", needs_rest=True),
    "revoke_by_stamped_headers": Method(summary="Revoke all jobs with a stamp, KEY=VALUE.",
                                        rest="headers", needs_rest=True),
    "shutdown": Method(summary="Stop when what runs has ended."),
    "terminate": Method(summary="Revoke jobs and end them, by a signal as SIGTERM.",
                        takes=[("signal", str)], needs=1, rest="task_id", needs_rest=True),
    "time_limit": Method(summary="Change the limits of a task, in seconds; - is none.",
                         takes=[("task_name", str), ("soft", _seconds), ("hard", _seconds)],
                         needs=2),
}  # fmt: skip


_IN_THE_FILE: Final = ("revoke", "revoke_by_stamped_headers", "terminate")
"""What needs no worker."""


class _Methods(Command):
    """A command whose help lists the methods."""

    def __init__(self, name: str | None, *, methods: Mapping[str, Method], **options: Any) -> None:
        super().__init__(name, **options)
        self.methods = methods

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the methods above the example."""
        with formatter.section("Methods"):
            formatter.write_dl(
                [
                    (f"{name} {method.usage}".rstrip(), method.summary)
                    for name, method in self.methods.items()
                ]
            )
        super().format_epilog(ctx, formatter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """To whom a command goes, and how long to wait (seconds)."""

    destination: list[str] | None
    pattern: str | None
    timeout: float
    replies: dict[str, Any] = field(default_factory=dict)


def _addressed(function: F) -> F:
    for option in (
        json_option,
        click.option("--pattern", type=Name(), metavar="GLOB",
                     help="Only workers with such names; * and ? stand for others."),
        click.option("-t", "--timeout", type=Duration(), default=1.0, show_default="1s",
                     metavar="DURATION", help="How long to wait for answers."),
        click.option("-d", "--destination", type=Name(), multiple=True, metavar="NAMES",
                     help="Only these workers; comma-separated."),
        click.argument("words", nargs=-1, type=Name(), metavar="[ARGUMENT]..."),
        click.argument("method", type=Name(), metavar="METHOD", required=False),
    ):  # fmt: skip
        function = option(function)
    return function


@click.command(cls=_Methods, methods=INSPECT, example="litequeue inspect jobs.sqlite active")
@database_argument
@_addressed
@click.pass_context
def inspect(ctx: click.Context, /, db: str, **given: Any) -> int:
    """Ask the workers of DB.

    They answer at once, also while all they run is busy.
    """
    return _command(ctx, INSPECT, CONTROL, db, **given)


@click.command(
    cls=_Methods, methods=CONTROL, example="litequeue control jobs.sqlite pool_grow 2 -d worker-1"
)
@database_argument
@_addressed
@click.pass_context
def control(ctx: click.Context, /, db: str, **given: Any) -> int:
    """Tell the workers of DB what to do."""
    return _command(ctx, CONTROL, INSPECT, db, **given)


def _command(
    ctx: click.Context,
    methods: Mapping[str, Method],
    others: Mapping[str, Method],
    db: str,
    *,
    method: str | None,
    words: tuple[str, ...],
    destination: tuple[str, ...],
    timeout: float,
    pattern: str | None,
    as_json: bool,
) -> int:
    if method is None or method not in methods:
        raise click.UsageError(_which_method(ctx, method, methods, others, db), ctx)
    try:
        arguments = methods[method].arguments(words)
        if method == "revoke_by_stamped_headers":
            arguments["headers"] = stamps_in(arguments["headers"])
    except ValueError:
        usage = f"litequeue {ctx.info_name} {db} {method} {methods[method].usage}".rstrip()
        raise click.UsageError(f"{method} is typed as `{usage}`", ctx) from None
    asked = Asked(destination=list(split(destination)) if destination else None, pattern=pattern,
                  timeout=timeout)  # fmt: skip
    with opened(db) as database:
        has_live = has_live_worker(database)  # and there is a file, which asking would make
        for name in ("task_id", "ids"):
            if name in arguments:
                arguments[name] = [_whole_id(database, text) for text in arguments[name]]
        _ask(database, method, arguments, asked)
        silent = list(_silent(database, asked))
    _show_all(asked.replies, silent, as_json=as_json)
    if not asked.replies and method in _IN_THE_FILE:
        note("litequeue: no worker answered; it stands in the file, for workers that come later")
        return 0
    if not asked.replies:
        why = f" within {timeout:g} s" if has_live else f"; {nobody_works(db)}"
        raise Failure(f"no worker answered{why}", code=NO_WORKER)
    return _exit_code(method, asked)


def _which_method(
    ctx: click.Context,
    method: str | None,
    methods: Mapping[str, Method],
    others: Mapping[str, Method],
    db: str,
) -> str:
    if method is not None:
        return _no_method(ctx, method, methods, others, db)
    if db in methods:
        how = f"litequeue {ctx.info_name} jobs.sqlite {db} {methods[db].usage}".rstrip()
        return f"which queue file? say it first, as `{how}`"
    return f"which method? there are {', '.join(methods)}"


def _show_all(
    replies: Mapping[str, Any], silent: Sequence[tuple[str, str]], *, as_json: bool
) -> None:
    if as_json:
        print_json(replies=replies, silent=[name for name, _ in silent])
    else:
        for name, answer in sorted(replies.items()):
            _show(name, answer)
    for name, why in silent:
        note(f"litequeue: worker {clean(name)} {why}")


def _whole_id(database: Database, text: str) -> str:
    """Return the id that ``text`` abbreviates, or a whole one that the file does not know."""
    from litequeue.cli.queue_file import find_job
    from litequeue.store import listing

    if len(text) >= 36 and not listing.find(database, text):
        return text
    return find_job(database, text).id


def _no_method(
    ctx: click.Context, name: str, methods: Mapping[str, Method], others: Mapping[str, Method],
    db: str,
) -> str:  # fmt: skip
    if name in others:
        other = "control" if ctx.info_name == "inspect" else "inspect"
        return f"{name} is one of the others: say `litequeue {other} {db} {name}`"
    if name in ("pause", "resume", "purge", "events", "retry"):
        return f"{name} is a command of its own: say `litequeue {name} {db}`"
    if name == "rate_limit":
        return "rate_limit is not built yet"
    return f"no method {name!r}{did_you_mean(name, [*methods])}"


def stamps_in(words: Iterable[str]) -> dict[str, list[str]]:
    """Return what was typed as KEY=VALUE; raises ValueError."""
    found: dict[str, list[str]] = {}
    for word in words:
        header, equals, value = word.partition("=")
        if not (header and equals):
            raise ValueError(f"{word!r} is no stamp; write KEY=VALUE")
        found.setdefault(header, []).append(value)
    return found


def _ask(database: Database, method: str, arguments: Mapping[str, Any], asked: Asked) -> None:
    from litequeue.app import LiteQueue

    app = LiteQueue(database.path, set_as_current=False)
    app.rebind(database.path)  # whatever the environment says
    try:
        app.control.broadcast(
            method,
            arguments,
            reply=True,
            destination=asked.destination,
            pattern=asked.pattern,
            timeout=asked.timeout,
            callback=asked.replies.update,
        )
    except ValueError as error:  # a signal, for one, that this system does not have
        raise click.UsageError(str(error)) from None
    finally:
        app.close()


def _silent(database: Database, asked: Asked) -> Iterator[tuple[str, str]]:
    """Yield the workers that were asked and did not answer, and why."""
    from litequeue.control import is_meant
    from litequeue.store import workers

    owners = {owner.identity.name: owner for owner in workers.owners(database)}
    for name, owner in owners.items():
        meant = is_meant(name, destination=asked.destination, pattern=asked.pattern, matcher=None)
        if meant and name not in asked.replies:
            yield name, f"is {lives(database, owner).value} and did not answer"
    for name in asked.destination or ():
        if name not in owners and name not in asked.replies:
            yield name, f"is not registered{did_you_mean(name, list(owners))}"


def _show(name: str, answer: Any) -> None:
    if isinstance(answer, dict) and set(answer) == {"error"}:
        note(f"litequeue: {clean(name)}: {answer['error']}")
        return
    if isinstance(answer, dict) and set(answer) == {"ok"}:
        answer = str(answer["ok"])
    if isinstance(answer, str) and "\n" not in answer:
        say(f"{name}: {answer}")
        return
    say(f"{name}:")
    print_block("\n".join(_lines(answer)))


def _lines(answer: Any) -> Iterator[str]:
    if isinstance(answer, str):
        yield from answer.split("\n")
    elif isinstance(answer, list):
        for each in answer or ["(none)"]:
            yield each if isinstance(each, str) else json.dumps(each)
    elif isinstance(answer, dict):
        for key, value in answer.items() or [("(none)", "")]:
            yield f"{key}: {value if isinstance(value, str) else json.dumps(value)}"
    else:
        yield "done" if answer is None else json.dumps(answer)


def _exit_code(method: str, asked: Asked) -> int:
    if method == "query_task" and not any(asked.replies.values()):
        note("litequeue: no worker has such a job, or could run it later")
        return NO_SUCH_THING
    errors = [
        answer["error"]
        for answer in asked.replies.values()
        if isinstance(answer, dict) and set(answer) == {"error"}
    ]
    if errors and all(error == "unknown task" for error in errors):
        return NO_SUCH_THING
    return FAILED if errors else 0
