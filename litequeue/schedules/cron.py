"""`crontab`: Celery's keyword form and cron's one line, and what they mean when clocks change.

A rule with fixed hours speaks of wall time: once in an overlap, once for a gap.  A rule whose hour
field begins with `*` speaks of real time: whenever the clocks show a time that matches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from math import floor
from typing import Any, Final, Self, TypeAlias

from litequeue.exceptions import ScheduleError
from litequeue.schedules.base import EPOCH, Schedule, Tick, in_short, instant_tick, refuse_nowfun
from litequeue.schedules.calendar import Days, Times, days_of, is_every
from litequeue.schedules.fields import (
    DAY_OF_MONTH,
    DAY_OF_WEEK,
    HOUR,
    LONGEST,
    MINUTE,
    MONTH_OF_YEAR,
    SECOND,
    Values,
    tidy,
    too_long,
    values_of,
    written,
)
from litequeue.schedules.zones import Zone, zone_name, zone_named

CronField: TypeAlias = int | str | Iterable[int] | None

_DAY: Final = 86_400
_FIELDS: Final = (SECOND, MINUTE, HOUR, DAY_OF_MONTH, MONTH_OF_YEAR, DAY_OF_WEEK)
_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True, init=False)
class crontab(Schedule):
    """A schedule by the calendar and the clock, in Celery's fields or in cron's one line.

    ``crontab(minute=0, hour="3,15")`` and ``crontab("0 3,15 * * *")`` are the same.  A line has
    five fields (minute, hour, day of month, month, day of week), or six with seconds first, or is
    one of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.  ``tz`` is an IANA
    name, ``"local"`` for the machine's zone, a ZoneInfo or ``datetime.timezone.utc``; without it
    the app's ``timezone`` holds.  ``day_or`` tells what holds where day of month and day of week
    are both restricted: either (as in a line) or both (as in Celery's fields).  ``app`` changes
    nothing.  Raises ScheduleError, with the field named, and for a ``nowfun``.
    """

    texts: tuple[str, ...]  # as written, in small letters: second, then a line's order
    zone: str | None
    either: bool
    _times: Times = field(repr=False, compare=False)
    _days: Days = field(repr=False, compare=False)
    _fixed: bool = field(repr=False, compare=False)

    def __init__(
        self,
        minute: CronField = "*",
        hour: CronField = "*",
        day_of_week: CronField = "*",
        day_of_month: CronField = "*",
        month_of_year: CronField = "*",
        *,
        second: CronField = None,
        tz: str | tzinfo | None = None,
        day_or: bool | None = None,
        nowfun: None = None,
        app: object = None,
    ) -> None:
        refuse_nowfun(nowfun)
        others = (hour, day_of_month, month_of_year, day_of_week)
        if isinstance(minute, str) and _is_line(minute):
            if any(other != "*" for other in others):
                raise ScheduleError(
                    f"crontab {in_short(minute)} is a whole line, so it takes no field beside it"
                )
            texts, either = _fields_of_line(minute, second), True
        else:
            fields = zip(_FIELDS, (0 if second is None else second, minute, *others), strict=True)
            texts, either = tuple(written(kind, value) for kind, value in fields), False
        self._set(
            texts, None if tz is None else zone_name(tz), either if day_or is None else day_or
        )

    @classmethod
    def from_string(cls, crontab: str) -> Self:
        """Return the schedule of a line, in Celery's meaning: both days, where two are named.

        Raises ScheduleError, with the field named.
        """
        return cls.of_texts(_fields_of_line(crontab), None, False)

    @classmethod
    def of_line(cls, line: str, zone: str | None) -> Self:
        """Return the schedule of a line, in cron's meaning: either day, where two are named.

        Raises ScheduleError, with the field named.
        """
        return cls.of_texts(_fields_of_line(line), zone, True)

    @classmethod
    def of_texts(cls, texts: tuple[str, ...], zone: str | None, either: bool) -> Self:
        """Return the schedule of six fields as they were written.  Raises ScheduleError."""
        made = cls.__new__(cls)
        made._set(texts, None if zone is None else zone_name(zone), either)
        return made

    def _set(self, texts: tuple[str, ...], zone: str | None, either: bool) -> None:
        """Take the fields apart; the only place that writes to a schedule."""
        values = [values_of(kind, text) for kind, text in zip(_FIELDS, texts, strict=True)]
        seconds, minutes, hours, days, months, weekdays = values
        texts = tuple(text.lower() for text in texts)
        either = either and "*" not in (texts[3], texts[5])
        times = Times(hours.numbers, minutes.numbers, seconds.numbers)
        put = object.__setattr__
        put(self, "texts", texts)
        put(self, "zone", zone)
        put(self, "either", either)
        put(self, "_times", times)
        put(self, "_days", days_of(days=days, months=months, weekdays=weekdays, either=either))
        put(self, "_fixed", not texts[2].startswith("*") and not is_every(hours, HOUR.size))

    def in_zone(self, zone: str) -> crontab:
        """Return the schedule in ``zone``, unless it names one.  Raises ScheduleError."""
        return self if self.zone is not None else self.of_texts(self.texts, zone, self.either)

    def _after(self, moment: float, anchor: float) -> Tick | None:
        zone, second = zone_named(self.zone or "UTC"), floor(moment)
        return self._wall_tick(zone, second) if self._fixed else self._real_tick(zone, second + 1)

    def _wall_tick(self, zone: Zone, second: int) -> Tick | None:
        """Return the first tick after ``second`` of a rule that speaks of wall time."""
        # Of the span of the last second that is over: what follows it may be in a gap.
        span = zone.span(second)
        # What the clocks show for the second time has had its turn.
        wall = self._match(max(second + 1 + span.offset, span.start + span.before))
        if wall is None:
            return None
        instant, shown = zone.first_instant(wall)
        text = (EPOCH + timedelta(seconds=shown)).replace(tzinfo=None)
        places = "seconds" if text.second else "minutes"
        return Tick(f"{text.isoformat(timespec=places)}[{self.zone or 'UTC'}]", float(instant))

    def _real_tick(self, zone: Zone, first: int) -> Tick | None:
        """Return the first tick at ``first`` or later of a rule that speaks of real time."""
        span = zone.span(first)
        searched = first + span.offset
        wall = self._match(searched)
        while wall is not None and wall - span.offset >= span.end:
            span = zone.span(span.end)
            shown = span.start + span.offset
            if not searched <= shown <= wall:  # the clocks went back, or past what was found
                searched, wall = shown, self._match(shown)
        return None if wall is None else instant_tick((wall - span.offset) * 1_000_000)

    def _match(self, wall: int) -> int | None:
        """Return the next wall time that matches, ``wall`` included, in seconds as if in UTC."""
        day, second = divmod(wall, _DAY)
        found = self._days.at_or_after(day)
        if found == day:
            time = self._times.at_or_after(second)
            if time is not None:
                return day * _DAY + time
            found = self._days.at_or_after(day + 1)
        return None if found is None else found * _DAY + self._times.first()

    def form(self) -> dict[str, Any]:
        """Return the schedule as data for JSON."""
        form: dict[str, Any] = {"crontab": self._line()}
        if self.zone is not None:
            form["tz"] = self.zone
        if self.either:
            form["day_or"] = True
        return form

    def _line(self) -> str:
        return " ".join(self.texts if self.texts[0] != "0" else self.texts[1:])

    def __str__(self) -> str:
        both = not self.either and "*" not in (self.texts[3], self.texts[5])
        zone = "" if self.zone is None else f" {self.zone}"
        return f"crontab {self._line()}{zone}{' (both days)' if both else ''}"

    # Celery's attributes: the numbers of each field

    @property
    def minute(self) -> frozenset[int]:
        """The minutes."""
        return frozenset(self._times.minutes)

    @property
    def hour(self) -> frozenset[int]:
        """The hours."""
        return frozenset(self._times.hours)

    @property
    def day_of_month(self) -> frozenset[int]:
        """The days of the month; `L` is none of them."""
        return frozenset(self._values(3).numbers)

    @property
    def month_of_year(self) -> frozenset[int]:
        """The months, 1 to 12."""
        return frozenset(self._values(4).numbers)

    @property
    def day_of_week(self) -> frozenset[int]:
        """The days of the week, from Sunday (0) to Saturday (6); those with `#` or `L` are none."""
        return frozenset(self._values(5).numbers)

    def _values(self, place: int) -> Values:
        return values_of(_FIELDS[place], self.texts[place])


def _is_line(text: str) -> bool:
    """Tell whether a first argument is a line; `0, 30` is a field still."""
    text = tidy(text)
    return text.startswith("@") or text.split() not in ([], [text])


def _fields_of_line(line: str, second: CronField = None) -> tuple[str, ...]:
    """Return the fields of a line, the second first; ``second`` is given beside it."""
    text = tidy(line)
    if text.startswith("@"):
        text = _line_of_nickname(text.lower())
    if len(text) > LONGEST:
        raise ScheduleError(too_long("the expression", len(text)))
    fields = tuple(text.split())
    if len(fields) == len(_FIELDS) - 1:
        return ("0" if second is None else written(SECOND, second), *fields)
    if len(fields) != len(_FIELDS):
        raise ScheduleError(_wrong_number(line, len(fields)))
    if second is not None:
        raise ScheduleError(f"second is given twice: in crontab {in_short(line)}, and beside it")
    return fields


def _wrong_number(line: str, number: int) -> str:
    sentence = (
        f"crontab {in_short(line)} has {number} field{'' if number == 1 else 's'}; it takes five "
        "(minute, hour, day_of_month, month_of_year, day_of_week), or six with the second first"
    )
    if number == 1:
        sentence += "; an interval is a number of seconds, or a timedelta"
    return sentence


def _line_of_nickname(name: str) -> str:
    if name == "@reboot":
        raise ScheduleError(
            "a crontab has no @reboot, since nothing starts with the machine here; send the job "
            "from a receiver of worker_ready, or from the program that starts the worker"
        )
    if name not in _NICKNAMES:
        raise ScheduleError(f"a crontab has no {name:.40}; it has {', '.join(_NICKNAMES)}")
    return _NICKNAMES[name]
