"""What the commands accept: durations, moments, states, names, and the path of the file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from litequeue import states
from litequeue.cli import pyproject
from litequeue.clock import SYSTEM
from litequeue.nearest import did_you_mean

F = TypeVar("F", bound=Callable[..., Any])
if TYPE_CHECKING:  # generic in new versions of click only
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType

_UNITS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+) ?([a-z]*)")
_APP: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_LONGEST: Final = 1e10


class Duration(_ParamType):
    """A duration in seconds, written as 90, 90s, 10m, 1.5h or 2d."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(value)
        if found is None or found[2] not in _UNITS:
            self.fail(f"{value!r} is no duration; write 90s, 10m, 1.5h or 2d", param, ctx)
        seconds = float(found[1]) * _UNITS[found[2]]
        if seconds > _LONGEST:
            self.fail(f"{value!r} is longer than three hundred years", param, ctx)
        return seconds


class Moment(_ParamType):
    """A moment in ISO 8601 (local time unless it says otherwise), as epoch seconds."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return epoch seconds."""
        from datetime import datetime

        if isinstance(value, float):
            return value
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no moment; write 2030-12-31T18:00 or {_EXAMPLE}", param, ctx)


_EXAMPLE: Final = "2030-12-31T17:00:00Z"


class DurationOrMoment(Duration):
    """A duration from now, or a moment; as epoch seconds."""

    name = "duration or moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return epoch seconds."""
        if isinstance(value, str) and _DURATION.fullmatch(value):
            return SYSTEM.now() + super().convert(value, param, ctx)
        return Moment().convert(value, param, ctx)


class Name(_ParamType):
    """Text that a file can hold."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text; refuse bytes that are no text."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail(f"{text!r} holds bytes that are no UTF-8", param, ctx)
        return text


STATES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    **{state.lower(): ((), (state,)) for state in sorted(states.ALL_STATES)},
    **{phase: ((phase,), ()) for phase in states.PHASES},
    "failed": ((), (states.FAILURE,)),
    "waiting": ((states.READY, states.SCHEDULED, states.PARKED, states.WAITING), ()),
    "blocked": ((states.WAITING,), ()),
    "running": ((states.LEASED,), ()),
}
"""What may be said for a state: Celery's names, the phases, and plain words; (phases, states).

For people all that has not begun is waiting; the phase of that name is that of blocked jobs.
"""


class State(_ParamType):
    """A state, in any case."""

    name = "state"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name in `STATES`."""
        name = str(value).lower()
        if name not in STATES:
            near = did_you_mean(name, list(STATES))
            self.fail(f"{value!r} is no state{near}; there are {', '.join(STATES)}", param, ctx)
        return name


# The file


def looks_like_an_app(text: str) -> bool:
    """Tell whether somebody wrote an app where a file should be."""
    is_app = bool(_APP.fullmatch(text)) or text.endswith(".py")
    return is_app and (text.endswith(".py") or not os.path.exists(text))  # noqa: PTH110 - pathlib takes 5 ms to import


def as_app(text: str) -> str:
    """Return how an app is named: "tasks:app" for tasks.py."""
    if not text.endswith(".py"):
        return text
    stem = os.path.normpath(text[:-3]).replace(os.sep, ".")
    return f"{stem}:app"


def default_database() -> str | None:
    """Return the queue file of a line that names none."""
    return os.environ.get("LITEQUEUE_URL") or pyproject.read().database


def _file(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Refuse what cannot be the path of a queue, each with what to type instead."""
    if ctx.resilient_parsing:
        return value
    name = ctx.info_name
    if value is None:
        value = default_database()
    if value is None:
        example = getattr(ctx.command, "example", f"litequeue {name} jobs.sqlite")
        raise click.UsageError(f"which queue file? say it first, as `{example}`", ctx)
    if not value:
        why = "the path of the queue file is empty"
    elif value == ":memory:":
        why = "a queue in :memory: would be seen by this process only"
    elif value.startswith("file:") or "://" in value:
        why = f"{value!r} is a URI, and DB is the path of a file"
    elif "\0" in value:
        why = "the path of the queue file holds a NUL character"
    elif os.path.isdir(value):  # noqa: PTH112 - pathlib takes 5 ms to import
        why = f"{value!r} is a directory"
    elif looks_like_an_app(value):
        how = f" -A {as_app(value)}" if name == "worker" else ""
        why = f"{value!r} is an app, and the queue file comes first"
        raise click.UsageError(f"{why}: say `litequeue {name} jobs.sqlite{how}`", ctx)
    else:
        return value
    raise click.UsageError(f"{why}; give a file, as `litequeue {name} jobs.sqlite`", ctx)


def database_argument(function: F) -> F:
    """Add DB, the first argument of nearly every command."""
    return click.argument("db", type=click.Path(readable=False), required=False, callback=_file)(
        function
    )


def json_option(function: F) -> F:
    """Add --json."""
    text = "Print one JSON document."
    return click.option("--json", "as_json", is_flag=True, help=text)(function)


class Command(click.Command):
    """A command with an example, which its help and its errors show."""

    def __init__(self, name: str | None, *, example: str, **options: Any) -> None:
        super().__init__(name, epilog=f"Example: {example}", **options)
        self.example = example
