"""When entries are due: by calendar and clock, every so often, once, by the sun.

A schedule is a value: it can be compared, stored (`dump`, `load`) and asked for its next tick, and
it never reads a clock for that.  Storing entries is the store's, sending is beat's.
"""

from __future__ import annotations

from litequeue.exceptions import ScheduleError
from litequeue.schedules.base import Schedule, Tick
from litequeue.schedules.cron import crontab
from litequeue.schedules.every import interval, schedule
from litequeue.schedules.once import clocked
from litequeue.schedules.sun import solar
from litequeue.schedules.text import dump, load, schedule_of
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
    "schedule",
    "schedule_of",
    "solar",
]
