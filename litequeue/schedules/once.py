"""`clocked`: one tick, at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from litequeue.exceptions import ScheduleError
from litequeue.schedules.base import (
    EPOCH,
    LATEST,
    Schedule,
    Tick,
    in_short,
    instant_text,
    instant_tick,
)
from litequeue.schedules.zones import zone_named

_MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True, init=False)
class clocked(Schedule):
    """One tick at ``moment``: a datetime, ISO text, or seconds since the epoch.

    A moment without a zone is in the app's ``timezone``.  Raises ScheduleError.
    """

    microseconds: int  # since the epoch; of the wall time as if in UTC, where there is no zone
    resolved: bool

    def __init__(self, moment: datetime | str | float) -> None:
        microseconds, resolved = _parsed(moment)
        if not 0 <= microseconds < LATEST * _MICRO:
            raise ScheduleError(f"moment {in_short(moment)} is not between the years 1970 and 9892")
        object.__setattr__(self, "microseconds", microseconds)
        object.__setattr__(self, "resolved", resolved)

    def in_zone(self, zone: str) -> clocked:
        """Return the moment as the clocks of ``zone`` show it, unless it has a zone.

        What they show twice is meant the first time, what they skip is when they have skipped
        it.  Raises ScheduleError for a zone that does not exist.
        """
        if self.resolved:
            return self
        wall, fraction = divmod(self.microseconds, _MICRO)
        instant, shown = zone_named(zone).first_instant(wall)
        return clocked(instant + fraction / _MICRO if shown == wall else instant)

    def _after(self, moment: float, anchor: float) -> Tick | None:
        if not self.resolved:
            raise ScheduleError(
                f"moment {self._text()} has no time zone; give it one, or set the app's timezone"
            )
        tick = instant_tick(self.microseconds)
        return tick if tick.at > moment else None

    def form(self) -> dict[str, Any]:
        """Return the schedule as data for JSON."""
        return {"clocked": self._text()}

    def __str__(self) -> str:
        return f"once at {self._text()}"

    def _text(self) -> str:
        text = instant_text(self.microseconds)
        return text if self.resolved else text.removesuffix("Z")


def _parsed(moment: object) -> tuple[int, bool]:
    """Return the microseconds of ``moment``, and whether it has a zone."""
    if isinstance(moment, int | float) and not isinstance(moment, bool):
        within = -1 < moment < LATEST
        return (round(moment * _MICRO) if within else -1), True
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.strip()[:64])
        except ValueError:
            raise ScheduleError(
                f"moment {in_short(moment)} is not ISO text, such as 2030-01-31T09:30+01:00"
            ) from None
    if not isinstance(moment, datetime):
        raise ScheduleError(f"moment {in_short(moment)} is not a datetime, ISO text, or seconds")
    resolved = moment.utcoffset() is not None
    try:
        since = (moment if resolved else moment.replace(tzinfo=UTC)) - EPOCH
    except OverflowError:  # an offset that leads out of the years 1 to 9999
        return -1, resolved
    return (since.days * 86_400 + since.seconds) * _MICRO + since.microseconds, resolved
