"""What a crontab means, told by a walk over every minute: slow, and too short to be wrong.

It shares no code with `litequeue.schedules`, and computes no next anything.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

NAMES = {
    **{name.lower(): number for number, name in enumerate(calendar.month_name) if name},
    **{name.lower(): number for number, name in enumerate(calendar.month_abbr) if name},
    **{name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_name)},
    **{name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)},
}
EPOCH = date(1970, 1, 1).toordinal()


class Minute(NamedTuple):
    """A real minute, and which minute the clocks show in it; counted since 1970-01-01."""

    real: int
    shown: int


class Tick(NamedTuple):
    key: str
    at: int


def expanded(text: str, low: int, high: int) -> set[int]:
    """Return the numbers of one field."""
    found: set[int] = set()
    for part in text.lower().split(","):
        body, _, step = part.partition("/")
        if body == "*":
            first, last = low, high
        else:
            ends = [NAMES[end] if end in NAMES else int(end) for end in body.split("-")]
            first = ends[0]
            last = ends[-1] if len(ends) == 2 or not step else high
        size = high - low + 1
        number, left = first, 0
        while True:
            if left % int(step or 1) == 0:
                found.add(low + (number - low) % size)
            if number == last:
                break
            # Sunday is 0 and 7: a range may end with either
            number, left = (low if number >= high and last < number else number + 1), left + 1
    return found


class Rule:
    """One expression: five fields, or six with seconds first; ``either`` is cron's rule of days."""

    def __init__(self, expression: str, either: bool = True) -> None:
        fields = expression.split()
        seconds = fields.pop(0) if len(fields) == 6 else "0"
        minutes, hours, self.days, months, self.weekdays = fields
        self.seconds = sorted(expanded(seconds, 0, 59))
        self.months = expanded(months, 1, 12)
        self.hours = expanded(hours, 0, 23)
        self.times = {
            hour * 60 + minute for hour in self.hours for minute in expanded(minutes, 0, 59)
        }
        self.either = either and self.days != "*" and self.weekdays != "*"
        self.fixed = not hours.startswith("*") and len(self.hours) < 24
        self.day_is_named = cache(self._day_is_named)

    def shows(self, shown: int) -> bool:
        """Tell whether the clocks show a time of the rule."""
        day, time = divmod(shown, 1440)
        return time in self.times and self.day_is_named(day)

    def _day_is_named(self, day: int) -> bool:
        when = date.fromordinal(EPOCH + day)
        if when.month not in self.months:
            return False
        by_month, by_week = self._in_month(when), self._in_week(when)
        return by_month or by_week if self.either else by_month and by_week

    def _in_month(self, when: date) -> bool:
        parts = self.days.upper().split(",")
        if "L" in parts and (when + timedelta(days=1)).day == 1:
            return True
        numbers = [part for part in parts if part != "L"]
        return bool(numbers) and when.day in expanded(",".join(numbers), 1, 31)

    def _in_week(self, when: date) -> bool:
        if not re.search(r"#|\bL\w", self.weekdays, re.IGNORECASE):
            return when.isoweekday() % 7 in expanded(self.weekdays, 0, 6)
        for part in self.weekdays.upper().split(","):
            name, _, number = part.partition("#")
            (weekday,) = expanded(name.removeprefix("L"), 0, 6)
            if when.isoweekday() % 7 != weekday:
                continue
            if number and (when.day - 1) // 7 + 1 == int(number):
                return True
            if not number and (when + timedelta(days=7)).month != when.month:
                return True
        return False


def minutes_of(zone: str, first: int, last: int) -> Iterator[Minute]:
    """Yield the real minutes from ``first`` to ``last`` with what the clocks of ``zone`` show."""
    rules = ZoneInfo(zone)
    for real in range(first, last + 1):
        local = datetime.fromtimestamp(real * 60, rules)
        yield Minute(real, (local.toordinal() - EPOCH) * 1440 + local.hour * 60 + local.minute)


def some_ticks(rule: Rule, zone: str, after: datetime, count: int) -> list[Tick]:
    """Return the first ``count`` ticks later than ``after``; days far from any are not walked."""
    start = int(after.timestamp())
    found: list[Tick] = []
    day = start // 86_400 - 2
    while len(found) < count:
        first = day
        while any(rule.day_is_named(day + near) for near in (-1, 0, 1)) and day < first + 9:
            day += 1
        if day > first:
            walked = minutes_of(zone, first * 1440, day * 1440 - 1)
            later = (tick for tick in ticks_of(rule, zone, walked) if tick.at > start)
            found += islice(later, count - len(found))
        else:
            day += 1
    return found


def ticks_of(rule: Rule, zone: str, minutes: Iterable[Minute]) -> Iterator[Tick]:
    """Yield the ticks within ``minutes``, the first of which belongs to no transition."""
    highest: int | None = None
    for real, shown in minutes:
        seconds: Iterable[int] = rule.seconds if rule.shows(shown) else ()
        if rule.fixed:
            if highest is not None and shown <= highest:
                continue  # the clocks have shown it before
            gap = range(shown if highest is None else highest + 1, shown)
            if gap and any(rule.shows(skipped) for skipped in gap):
                seconds = {0, *seconds}
            highest = shown
        for second in sorted(seconds) if seconds else ():
            yield Tick(key_of(rule, zone, real * 60 + second), real * 60 + second)


def key_of(rule: Rule, zone: str, at: int) -> str:
    if not rule.fixed:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    shown = datetime.fromtimestamp(at, ZoneInfo(zone))
    return f"{shown:%Y-%m-%dT%H:%M}{f':{shown:%S}' if shown.second else ''}[{zone}]"


def changes_of(zone: str, first_year: int, last_year: int) -> tuple[tuple[int, int, int], ...]:
    """Return when the clocks of ``zone`` are put: (real minute, offset before, offset after)."""
    rules = ZoneInfo(zone)

    def offset(real: int) -> int:
        local = datetime.fromtimestamp(real * 60, rules)
        return (local.toordinal() - EPOCH) * 1440 + local.hour * 60 + local.minute - real

    start, stop = (
        int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) // 60
        for year in (first_year, last_year + 1)
    )
    found = []
    step = 12 * 60
    for real in range(start, stop, step):
        if offset(real) != offset(real + step):
            low, high = real, real + step
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(real) else (low, middle)
            found.append((high, offset(real), offset(high)))
    return (*found, (start, offset(start), offset(start)))
