"""What every schedule is: immutable data that can tell its next tick.

A tick is named by a key, so that two processes that compute it mean the same one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from reprlib import Repr
from typing import Any, Final, NamedTuple

from litequeue.clock import SYSTEM
from litequeue.exceptions import ScheduleError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = -1.0  # so that 1970 begins with a tick
LATEST: Final = (
    250_000_000_000.0  # in the year 9892: a search may go on for 50, dates end with 9999
)


_SHORT: Final = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


@dataclass(frozen=True, slots=True)
class Tick:
    """One due moment: ``key`` says which, ``at`` when (seconds since the epoch)."""

    key: str
    at: float


class DueState(NamedTuple):
    """What `Schedule.is_due` answers: due or not, and the seconds to the next look."""

    is_due: bool
    next: float


class Schedule(ABC):
    """When an entry is due.  Schedules are immutable, hashable, and compared by value."""

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        if not cls.__module__.startswith(f"{__package__}."):
            raise no_class_of_yours(cls.__qualname__)

    def after(self, moment: float, *, anchor: float = 0.0) -> Tick | None:
        """Return the first tick later than ``moment``, None if there is none any more.

        ``moment`` and ``anchor`` are seconds since the epoch; a relative interval counts from
        ``anchor``.  Raises ScheduleError for a moment without a time zone.
        """
        if not moment < LATEST:
            return None
        tick = self._after(max(moment, _EARLIEST), anchor)
        return tick if tick is not None and tick.at < LATEST else None

    @abstractmethod
    def _after(self, moment: float, anchor: float) -> Tick | None:
        """Return the first tick later than ``moment``, which is in a range that can be shown."""

    @abstractmethod
    def form(self) -> dict[str, Any]:
        """Return the schedule as data for JSON: its kind first, and only what it needs."""

    def in_zone(self, zone: str) -> Schedule:
        """Return the schedule in ``zone``, unless it names a zone or needs none.

        Raises ScheduleError for a zone that does not exist.
        """
        return self

    def is_due(self, last_run_at: datetime) -> DueState:
        """Tell whether a tick came since ``last_run_at``, and the seconds to the next one.

        A datetime without a zone is UTC.  Raises TypeError for anything but a datetime.
        """
        now, last = SYSTEM.now(), _seconds(last_run_at)
        tick = self.after(last, anchor=last)
        due = tick is not None and tick.at <= now
        if due:
            tick = self.after(now, anchor=now)
        return DueState(due, math.inf if tick is None else max(0.0, tick.at - now))

    def remaining_estimate(self, last_run_at: datetime) -> timedelta:
        """Return how long it is to the tick after ``last_run_at``; negative when that has passed.

        A datetime without a zone is UTC.  Raises TypeError for anything but a datetime.
        """
        last = _seconds(last_run_at)
        tick = self.after(last, anchor=last)
        return timedelta.max if tick is None else timedelta(seconds=tick.at - SYSTEM.now())


def instant_tick(microseconds: int) -> Tick:
    """Return the tick that is known by its moment in UTC (microseconds since the epoch)."""
    return Tick(instant_text(microseconds), microseconds / 1_000_000)


def instant_text(microseconds: int) -> str:
    """Return a moment in UTC as ISO text, with a fraction only where there is one."""
    moment = EPOCH + timedelta(microseconds=microseconds)
    return moment.replace(tzinfo=None).isoformat() + "Z"


def in_short(value: object) -> str:
    """Return what a user gave for a sentence about it, in short."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"of {type(value).__name__}"


def no_class_of_yours(name: str) -> ScheduleError:
    """Return the error for a class that a user derives from a schedule."""
    return ScheduleError(
        f"class {name:.60}: schedules are data in the file, so a class of your own cannot be "
        "stored; say it with crontab, interval, clocked or solar, or have the task look whether "
        "it is time"
    )


def refuse_nowfun(nowfun: object) -> None:
    """Raise ScheduleError for a clock of the user's."""
    if nowfun is not None:
        raise ScheduleError(
            f"nowfun {in_short(nowfun)} is code, which cannot be stored in the file; leave it out, "
            "and name a time zone with crontab(tz=) or the app's timezone"
        )


def _seconds(moment: object) -> float:
    if not isinstance(moment, datetime):
        raise TypeError(
            f"last_run_at is a datetime, not {in_short(moment)}; for seconds since the epoch "
            "there is after()"
        )
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
