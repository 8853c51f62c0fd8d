"""Which days a crontab names, found by croniter, and which times of a day.

croniter is given nothing but numbers, one day at a time: it knows months, leap years, `L` and
`#`.  The language of the fields is `fields`, what a time of day means in a zone is `cron`.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from litequeue.exceptions import ScheduleError
from litequeue.schedules.fields import DAY_OF_MONTH, MONTH_OF_YEAR, Values

_DAY: Final = 86_400
_LENGTHS: Final = ((31,), (28, 29), *(((31,), (30,)) * 2), (31,), *(((31,), (30,)) * 2), (31,))


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a day, in wall time: every hour with every minute with every second."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]

    def first(self) -> int:
        """Return the first time of a day, in seconds since midnight."""
        return self.hours[0] * 3600 + self.minutes[0] * 60 + self.seconds[0]

    def at_or_after(self, second_of_day: int) -> int | None:
        """Return the next time of the same day, in seconds since midnight."""
        hour, rest = divmod(second_of_day, 3600)
        minute, second = divmod(rest, 60)
        same_hour = _at_least(self.hours, hour) == hour
        if same_hour and _at_least(self.minutes, minute) == minute:
            found = _at_least(self.seconds, second)
            if found is not None:
                return hour * 3600 + minute * 60 + found
        if same_hour:
            found = _at_least(self.minutes, minute + 1)
            if found is not None:
                return hour * 3600 + found * 60 + self.seconds[0]
        found = _at_least(self.hours, hour + 1)
        return None if found is None else found * 3600 + self.minutes[0] * 60 + self.seconds[0]


def _at_least(values: tuple[int, ...], least: int) -> int | None:
    place = bisect_left(values, least)
    return values[place] if place < len(values) else None


@dataclass(frozen=True, slots=True)
class Days:
    """The days that match any of ``rules``: croniter's expressions; no rule is every day."""

    rules: tuple[str, ...]

    def at_or_after(self, day: int) -> int | None:
        """Return the next day, None if none comes within 50 years; days since 1970-01-01."""
        if not self.rules:
            return day
        found = [one for rule in self.rules if (one := _next_day(rule, day)) is not None]
        return min(found, default=None)


@lru_cache(maxsize=4096)
def _next_day(rule: str, day: int) -> int | None:
    from croniter import CroniterBadDateError, croniter  # type: ignore[import-untyped] # has none

    try:
        found = croniter(rule, day * _DAY - 1, day_or=False).get_next(float)
    except CroniterBadDateError:
        return None
    return int(found) // _DAY


def days_of(*, days: Values, months: Values, weekdays: Values, either: bool) -> Days:
    """Return the days of three fields; ``either`` if one of the two fields of days is enough.

    Raises ScheduleError if there is no such day in any year.
    """
    choices = [(days, _EVERY), (_EVERY, weekdays)] if either else [(days, weekdays)]
    possible = [choice for choice in choices if _is_possible(*choice, months)]
    if not possible:
        raise _impossible(days, months, weekdays)
    rules = [
        f"0 0 {_days_text(one)} {_months_text(months)} {_weekdays_text(other)}"
        for one, other in possible
    ]
    return Days(()) if "0 0 * * *" in rules else Days(tuple(rules))


_EVERY: Final = Values(())  # as in croniter's "*"


def is_every(values: Values, size: int) -> bool:
    """Tell whether a field leaves nothing out."""
    return values == _EVERY or len(values.numbers) == size


def _is_possible(days: Values, weekdays: Values, months: Values) -> bool:
    """Tell whether a month of some year has one of the days.

    Every weekday falls on every day of a month in some year, 29 February too, so weekdays
    matter only where they are numbered.
    """
    for month in months.numbers:
        for length in _LENGTHS[month - 1]:
            wanted = {day for day in days.numbers if day <= length}
            if days.last:
                wanted.add(length)
            if days == _EVERY:
                wanted.update(range(1, length + 1))
            if any(_falls_in(day, length, weekdays) for day in wanted):
                return True
    return False


def _falls_in(day: int, length: int, weekdays: Values) -> bool:
    if not weekdays.nth:
        return True
    numbers = {number for _, number in weekdays.nth}
    return (day - 1) // 7 + 1 in numbers or (0 in numbers and day > length - 7)


def _impossible(days: Values, months: Values, weekdays: Values) -> ScheduleError:
    text = f"day_of_month {_days_text(days)} never comes in month_of_year {_months_text(months)}"
    if weekdays.nth:
        text += f" as day_of_week {_weekdays_text(weekdays)}"
    return ScheduleError(f"{text}, so nothing would ever be due; change one of them")


def _days_text(values: Values) -> str:
    if is_every(values, DAY_OF_MONTH.size):
        return "*"
    return ",".join([*map(str, values.numbers), *(["L"] if values.last else [])])


def _months_text(values: Values) -> str:
    if is_every(values, MONTH_OF_YEAR.size):
        return "*"
    return ",".join(map(str, values.numbers))


def _weekdays_text(values: Values) -> str:
    if values.nth:
        return ",".join(f"{day}#{number}" if number else f"L{day}" for day, number in values.nth)
    return "*" if is_every(values, 7) else ",".join(map(str, values.numbers))
