"""What ``litequeue schedule add`` and ``edit`` take, read into the fields of an `Entry`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from litequeue.cli import pyproject
from litequeue.cli.output import note
from litequeue.cli.parameters import Duration, Name
from litequeue.entry import MISFIRES, OVERLAPS
from litequeue.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from litequeue.schedules import Schedule

    _ParamType = click.ParamType[Any]  # generic in new versions of click only
else:
    _ParamType = click.ParamType

F = TypeVar("F", bound=Callable[..., Any])
NONE: Final = "none"
"""What takes a value away that an entry has."""
TASKS_OWN: Final = ("queue", "priority")
"""Fields that are the task's where `NONE` is said."""
_HERE: Final = "local"
"""Where moments are, unless --tz says it: as everywhere on the command line."""
_WAYS: Final = ("cron", "every", "at", "solar")


class _Moment(_ParamType):
    """A moment in ISO 8601, with or without a zone."""

    name = "moment"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment as it was written: only --tz says where one without a zone is."""
        try:
            return value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no moment; write 2030-12-31T18:00", param, ctx)


class _OrNone(_ParamType):
    """A value, or the word that takes it away."""

    def __init__(self, kind: _ParamType) -> None:
        self.kind = kind
        self.name = kind.name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or `NONE`."""
        if isinstance(value, str) and value.lower() == NONE:
            return NONE
        return self.kind.convert(value, param, ctx)


_WHEN: Final = (
    click.option("--cron", type=Name(), metavar="FIELDS",
                 help="Minute, hour, day, month, day of week: '0 3 * * *'; or @daily."),
    click.option("--every", type=Duration(), metavar="DURATION", help="90s, 10m, 1.5h, 2d."),
    click.option("--at", type=_Moment(), metavar="ISO", help="Once, at this moment."),
    click.option("--solar", type=Name(), metavar="EVENT:LAT,LON",
                 help="sunset:52.5,13.4 (extra: solar)."),
    click.option("--tz", type=Name(), metavar="ZONE",
                 help="The zone of --cron and moments: Europe/Berlin, or local."),
    click.option("--aligned", is_flag=True,
                 help="With --every: on whole multiples, as 12:00, 12:10."),
)  # fmt: skip
_WHAT: Final = (
    click.option("--args", "args_text", metavar="JSON", help="The arguments as a JSON list."),
    click.option("--kwargs", "kwargs_text", metavar="JSON",
                 help="The keyword arguments as a JSON object."),
    click.option("-Q", "--queue", type=_OrNone(Name()), help="The queue (default: the task's)."),
    click.option("--priority", type=_OrNone(click.INT), help="Higher runs first (default: 0)."),
    click.option("--expires", type=_OrNone(Duration()), metavar="DURATION",
                 help="Revoke a job that has not started so long after it was sent."),
)  # fmt: skip
_POLICIES: Final = (
    click.option("--misfire", type=click.Choice(MISFIRES),
                 help="What was missed: send none of it, the last (default), all."),
    click.option("--grace", type=_OrNone(Duration()), metavar="DURATION",
                 help="Send nothing that is later than this."),
    click.option("--catch-up", type=int, metavar="N",
                 help="With --misfire all: the last N at most (default: 1000)."),
    click.option("--overlap", type=click.Choice(OVERLAPS),
                 help="While the last job has not ended: send (default), skip, wait, cancel it."),
    click.option("--jitter", type=Duration(), metavar="DURATION",
                 help="Send up to so much later, differently each time."),
    click.option("--start", type=_OrNone(_Moment()), metavar="ISO", help="Not before."),
    click.option("--end", type=_OrNone(_Moment()), metavar="ISO", help="Not after."),
    click.option("--force", is_flag=True,
                 help="Even if no app has such a task, or it takes other arguments."),
)  # fmt: skip


def entry_options(function: F) -> F:
    """Add what an entry is made of: when, what, and the policies."""
    for option in reversed((*_WHEN, *_WHAT, *_POLICIES)):
        function = option(function)
    return function


@contextmanager
def as_usage(ctx: click.Context) -> Iterator[None]:
    """Turn what is wrong with a schedule or an entry into an error of usage."""
    try:
        yield
    except ImproperlyConfigured as error:
        raise click.UsageError(str(error), ctx) from None


def given_schedule(
    ctx: click.Context, given: Mapping[str, Any], *, zone: str | None = None
) -> Schedule | None:
    """Return the schedule that is said, None where none is; raises `click.UsageError`.

    It is in ``zone`` where --tz is not said, else in that of the settings, else in UTC.
    """
    ways = [way for way in _WAYS if given[way] is not None]
    options = " and ".join(f"--{way}" for way in ways)
    if len(ways) > 1:
        raise click.UsageError(f"{options} are two schedules: say one, or add two entries", ctx)
    if given["aligned"] and ways != ["every"]:
        raise click.UsageError("--aligned is for --every: say both", ctx)
    moments = given["start"] or given["end"]
    if given["tz"] is not None and ways in (["every"], ["solar"]) and not moments:
        raise click.UsageError(f"{options} needs no --tz: leave it out", ctx)
    if not ways:
        return None
    with as_usage(ctx):
        return _MAKERS[ways[0]](ctx, given).in_zone(given["tz"] or zone or _default_zone())


def note_default_zone(given: Mapping[str, Any], *, zone: str | None = None) -> None:
    """Say that a crontab is in UTC where neither the line, nor the entry, nor a setting says so."""
    is_said = given["tz"] or zone or pyproject.settings().timezone
    if given["cron"] is not None and not is_said:
        note("litequeue: in UTC: no --tz was said")


def _default_zone() -> str:
    from litequeue.configured import Configured
    from litequeue.periodic import zone_name
    from litequeue.serialization import Types

    return zone_name(Configured(pyproject.settings(), Types()).zone())


def given_fields(ctx: click.Context, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an entry that are said, other than its schedule, task and arguments."""
    fields = {
        name: None if given[name] == NONE and name not in TASKS_OWN else given[name]
        for name in ("queue", "priority", "expires", "misfire", "grace", "catch_up", "overlap",
                     "jitter")
        if given[name] is not None
    }  # fmt: skip
    for name in ("start", "end"):
        if given[name] is not None:
            said = given[name]
            fields[name] = None if said == NONE else _epoch(ctx, said, given["tz"])
    return fields


def _epoch(ctx: click.Context, moment: datetime, zone: str | None) -> float:
    """Return a moment in epoch seconds."""
    from litequeue.schedules import clocked

    with as_usage(ctx):
        tick = clocked(moment).in_zone(zone or _HERE).after(-1.0)
    return 0.0 if tick is None else tick.at


def _cron(ctx: click.Context, given: Mapping[str, Any]) -> Schedule:
    from litequeue.schedules import crontab

    text = given["cron"].strip()
    if not text.startswith("@") and len(text.split()) == 1:  # which would be a minute alone
        raise click.UsageError(
            f"--cron {text!r} is no schedule; write five fields in quotes, as '0 3 * * *', "
            "or @daily", ctx,
        )  # fmt: skip
    return crontab(text, tz=given["tz"])


def _every(ctx: click.Context, given: Mapping[str, Any]) -> Schedule:
    from litequeue.schedules import interval

    return interval(given["every"], aligned=given["aligned"])


def _at(ctx: click.Context, given: Mapping[str, Any]) -> Schedule:
    from litequeue.schedules import clocked

    return clocked(given["at"]).in_zone(given["tz"] or _HERE)


def _solar(ctx: click.Context, given: Mapping[str, Any]) -> Schedule:
    from litequeue.schedules import solar

    event, _, place = given["solar"].partition(":")
    try:
        latitude, longitude = map(float, place.split(","))
    except ValueError:
        raise click.UsageError(
            f"--solar {given['solar']!r} is no event at a place; write sunset:52.5,13.4", ctx
        ) from None
    return solar(event, latitude, longitude)


_MAKERS: Final[Mapping[str, Callable[[click.Context, Mapping[str, Any]], Schedule]]] = {
    "cron": _cron, "every": _every, "at": _at, "solar": _solar,
}  # fmt: skip
