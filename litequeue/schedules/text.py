"""Schedules as text of the file, and what users may write where a schedule is wanted."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from litequeue.exceptions import ScheduleError
from litequeue.schedules.base import Schedule, in_short
from litequeue.schedules.cron import crontab
from litequeue.schedules.every import interval
from litequeue.schedules.once import clocked
from litequeue.schedules.sun import solar

_LONGEST: Final = 4096  # characters: six fields at their longest, and more


@lru_cache(maxsize=16_384)
def load(text: str) -> Schedule:
    """Return the schedule that `dump` made ``text`` of.  Raises ScheduleError for other text."""
    try:
        form = json.loads(text[:_LONGEST])
        made = _made_of(form) if isinstance(form, dict) else None
    except ScheduleError:
        raise
    except (TypeError, ValueError, KeyError, RecursionError):
        made = None
    if made is None:
        raise ScheduleError(
            f"schedule {in_short(text)} in the file is none that this version of litequeue knows; "
            "edit the entry, or remove it"
        )
    return made


def dump(schedule: Schedule) -> str:
    """Return ``schedule`` as JSON, the same text for equal schedules."""
    return json.dumps(schedule.form(), separators=(",", ":"))


def schedule_of(value: object, *, zone: str | None = None, relative: bool = False) -> Schedule:
    """Return the schedule that a user means, in ``zone`` if it needs one and names none.

    A number of seconds or a timedelta is an interval (``relative``: aligned), text is a crontab
    in one line.  Without ``zone``, that is left to `Schedule.in_zone`.  Raises ScheduleError for
    anything else.
    """
    if isinstance(value, Schedule):
        return value if zone is None else value.in_zone(zone)
    if isinstance(value, str):
        return crontab.of_line(value, zone)
    if isinstance(value, int | float | timedelta) and not isinstance(value, bool):
        return interval(value, aligned=relative)
    if hasattr(value, "is_due"):
        raise ScheduleError(
            f"schedule {type(value).__module__}.{type(value).__qualname__} cannot be kept in the "
            "file, for it is code; use crontab, interval, clocked or solar of litequeue.schedules"
        )
    raise ScheduleError(
        f"schedule {in_short(value)} is neither a schedule, nor seconds, nor a timedelta, nor a "
        "line of a crontab as '0 3 * * *'"
    )


def maybe_schedule(s: object, relative: bool = False, app: object = None) -> Schedule | None:
    """Return what `schedule_of` does, in Celery's words; None for None.  ``app`` changes nothing.

    Raises ScheduleError for what is no schedule.
    """
    return None if s is None else schedule_of(s, relative=relative)


def _made_of(form: dict[str, Any]) -> Schedule | None:
    match form:
        case {"crontab": str(line), **rest}:
            fields = tuple(line.split(" "))
            texts = fields if len(fields) == 6 else ("0", *fields)
            return crontab.of_texts(texts, rest.get("tz"), rest.get("day_or", False) is True)
        case {"interval": float() | int() as every, **rest}:
            return interval(every, aligned=rest.get("aligned", False) is True)
        case {"clocked": str(moment)}:
            return clocked(moment)
        case {"solar": str(event), "lat": float() | int() as lat, "lon": float() | int() as lon}:
            return solar(event, lat, lon)
        case _:
            return None
