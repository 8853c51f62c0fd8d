"""When entries are due: by calendar and clock, every so often, once, by the sun.

A schedule is a value: it can be compared, stored (`dump`, `load`) and asked for its next tick, and
it never reads a clock for that.  Storing entries is the store's, sending is beat's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from litequeue.exceptions import ScheduleError
from litequeue.schedules.absent import error_of
from litequeue.schedules.base import DueState, Schedule, Tick
from litequeue.schedules.cron import crontab
from litequeue.schedules.every import interval, schedule
from litequeue.schedules.once import clocked
from litequeue.schedules.sun import solar
from litequeue.schedules.text import dump, load, maybe_schedule, schedule_of
from litequeue.schedules.zones import machine_zone

__all__ = [
    "Schedule",
    "ScheduleError",
    "Tick",
    "clocked",
    "crontab",
    "dump",
    "interval",
    "load",
    "machine_zone",
    "maybe_schedule",
    "schedule",
    "schedule_of",
    "solar",
]

# Celery's names

if TYPE_CHECKING:
    BaseSchedule = Schedule
    ParseException = ScheduleError
    schedstate = DueState
else:
    # Not in the module's namespace, so that each class has one name wherever they are listed.
    _ALIASES: Final = {
        "BaseSchedule": Schedule,
        "ParseException": ScheduleError,
        "schedstate": DueState,
    }

    def __getattr__(name: str) -> type:
        """Return the class that stands for one of Celery's; ImportError says why none does."""
        if name in _ALIASES:
            return _ALIASES[name]
        raise error_of(__name__, name)
