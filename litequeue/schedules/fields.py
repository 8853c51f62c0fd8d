"""The language of one field of a crontab: numbers, names, ranges, steps, lists, `L` and `#`.

Celery's and cron's together: ranges may wrap (fri-mon), names are short or long, 7 is Sunday.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from litequeue.exceptions import ScheduleError
from litequeue.schedules.base import in_short

LONGEST: Final = 256  # characters of an expression, or of one field

_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
_WEEKDAYS: Final = (
    *("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"),
)
_ANY_CASE: Final = re.ASCII | re.IGNORECASE
_PART: Final = re.compile(r"(?:\*|([a-z0-9]+)(?:-([a-z0-9]+))?)(?:/(\d{1,9}))?", _ANY_CASE)
_NTH: Final = re.compile(r"([a-z0-9]+)#([1-5])|l([a-z0-9]+)", _ANY_CASE)
_BLANKS: Final = re.compile(r"\s*,\s*")


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, its range, and the words that stand for numbers of it."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many values there are."""
        return self.high - self.low + 1


SECOND: Final = Field("second", 0, 59)
MINUTE: Final = Field("minute", 0, 59)
HOUR: Final = Field("hour", 0, 23)
DAY_OF_MONTH: Final = Field("day_of_month", 1, 31)
MONTH_OF_YEAR: Final = Field("month_of_year", 1, 12, _MONTHS)
DAY_OF_WEEK: Final = Field("day_of_week", 0, 6, _WEEKDAYS)


@dataclass(frozen=True, slots=True)
class Values:
    """What a field means: ``numbers`` in order, and what only a calendar can tell.

    ``last`` is the last day of the month; ``nth`` are pairs of a weekday and which one of the
    month it is, 0 for the last.
    """

    numbers: tuple[int, ...]
    last: bool = False
    nth: tuple[tuple[int, int], ...] = ()


def written(field: Field, value: object) -> str:
    """Return the text of what a user gave for a field: text, a number, or numbers.

    Raises ScheduleError for anything else.
    """
    if value is None:
        return "*"
    if isinstance(value, str):
        return tidy(value, field.name)
    if isinstance(value, int) and not isinstance(value, bool):
        return _joined(field, [value])
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return _joined(field, value)
    raise _wrong(field, value, "is neither text nor a number nor several numbers")


def tidy(text: str, what: str = "the expression") -> str:
    """Return ``text`` without blanks at its ends and around commas."""
    if len(text) > 4 * LONGEST:
        raise ScheduleError(too_long(what, len(text)))
    return _BLANKS.sub(",", text.strip())


def too_long(what: str, length: int) -> str:
    """Return the sentence for a text that is too long."""
    return (
        f"{what} of a crontab has {length} characters, and {LONGEST} are allowed; "
        "write it with ranges and steps"
    )


@lru_cache(maxsize=4096)
def values_of(field: Field, text: str) -> Values:
    """Return what ``text`` means in ``field``.  Raises ScheduleError, with the field named."""
    if len(text) > LONGEST:
        raise ScheduleError(too_long(field.name, len(text)))
    numbers: set[int] = set()
    nth: set[tuple[int, int]] = set()
    last = False
    for part in text.split(","):
        if field is DAY_OF_MONTH and part in ("l", "L"):
            last = True
        elif field is DAY_OF_WEEK and (found := _NTH.fullmatch(part)):
            nth.add(_nth(found, text))
        else:
            numbers.update(_numbers(field, part, text))
    if nth and numbers:
        raise _wrong(field, text, "mixes days of every week with # or L; make two entries of it")
    return Values(tuple(sorted(numbers)), last, tuple(sorted(nth)))


def _nth(found: re.Match[str], text: str) -> tuple[int, int]:
    day, number, last = found.groups()
    return _number(DAY_OF_WEEK, last or day, text) % 7, int(number or 0)


def _numbers(field: Field, part: str, text: str) -> Iterable[int]:
    found = _PART.fullmatch(part)
    if not found:
        raise _wrong(field, text, _reason(field, part))
    first, last, step = found.groups()
    by = 1 if step is None else int(step)
    if by < 1:
        raise _wrong(field, text, "has a step of 0; a step is 1 or more")
    if first is None:
        return range(field.low, field.high + 1, by)
    low = _number(field, first, text)
    if last is not None:
        return _range(field, low, _number(field, last, text), by)
    return _range(field, low, low if step is None else field.high, by)


def _range(field: Field, low: int, high: int, step: int) -> Iterable[int]:
    """Return the numbers from ``low`` to ``high``, past the end of the field if need be."""
    if high < low:
        high += field.size
    return [(number - field.low) % field.size + field.low for number in range(low, high + 1, step)]


def _number(field: Field, word: str, text: str) -> int:
    if word.isdigit():
        number = int(word) if len(word) < 10 else 10**9
        highest = 7 if field is DAY_OF_WEEK else field.high
        if field.low <= number <= highest:
            return number
        raise _wrong(field, text, f"has {word:.20}, which is not in {field.low} to {highest}")
    for number, name in enumerate(field.words, field.low):
        if word.lower() in {name, name[:3]}:
            return number
    raise _wrong(field, text, _reason(field, word))


def _joined(field: Field, values: Iterable[Any]) -> str:
    some = list(islice(values, LONGEST))
    if not some:
        raise ScheduleError(f"{field.name} names no value, so nothing would ever be due")
    if len(some) == LONGEST:
        raise ScheduleError(f"{field.name} has too many values; write it with ranges and steps")
    for one in some:
        if not isinstance(one, int) or isinstance(one, bool) or not 0 <= one <= 99:
            raise _wrong(field, one, f"is not a number from {field.low} to {field.high}")
    return ",".join(map(str, sorted({*some})))


def _reason(field: Field, part: str) -> str:
    """Return what is wrong with a part that is not of the language."""
    if part == "":
        return "has an empty part; write values between the commas"
    if re.fullmatch(r"[hr](\(.*\))?(/.*)?", part, _ANY_CASE):
        return (
            "asks for a value by hash or by chance, which a crontab here has not; use jitter= of "
            "the entry, on the command line --jitter"
        )
    if part == "?":
        return "is Quartz's word for any; write *"
    words = f", a name as {field.words[0][:3]}" if field.words else ""
    return f"has {in_short(part)}, which is not a number{words}, a range as 1-5 or a step as */2"


def _wrong(field: Field, value: object, why: str) -> ScheduleError:
    return ScheduleError(f"{field.name} {in_short(value)} {why}")
