"""`interval`: every so many seconds of real time; and `schedule`, as Celery spells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from math import floor
from typing import Any, Final

from litequeue.exceptions import ScheduleError
from litequeue.schedules.base import (
    Schedule,
    Tick,
    in_short,
    instant_tick,
    no_class_of_yours,
    refuse_nowfun,
)

_LEAST: Final = 0.01
_MOST: Final = 36_525 * 86_400.0  # a century
_MICRO: Final = 1_000_000
_UNITS: Final = ((86_400, "d"), (3600, "h"), (60, "min"))


@dataclass(frozen=True, slots=True, init=False)
class interval(Schedule):
    """A tick every so often: ``every`` is seconds or a timedelta, exact to a microsecond.

    Ticks are counted from the moment at which the entry was made, or, ``aligned``, from
    1970-01-01 UTC: every hour is then on the hour.  Raises ScheduleError.
    """

    every: float
    aligned: bool

    def __init__(self, every: float | timedelta, *, aligned: bool = False) -> None:
        object.__setattr__(self, "every", _seconds(every))
        object.__setattr__(self, "aligned", bool(aligned))

    @property
    def run_every(self) -> timedelta:
        """The interval, as Celery names it."""
        return timedelta(seconds=self.every)

    def _after(self, moment: float, anchor: float) -> Tick:
        # In whole microseconds, and before the anchor too: whoever counts finds the same ticks.
        # Rounded down: an anchor that is now is no moment to come.
        start = 0 if self.aligned else floor(anchor * _MICRO)
        step = round(self.every * _MICRO)
        at = start + ((floor(moment * _MICRO) - start) // step + 1) * step
        while at / _MICRO <= moment:
            at += step
        return instant_tick(at)

    def form(self) -> dict[str, Any]:
        """Return the schedule as data for JSON."""
        return {"interval": self.every, **({"aligned": True} if self.aligned else {})}

    def __str__(self) -> str:
        return f"every {_in_words(self.every)}{' (aligned)' if self.aligned else ''}"


def schedule(
    run_every: float | timedelta,
    relative: bool = False,
    nowfun: None = None,
    app: object = None,
) -> interval:
    """Return an `interval` in Celery's words; ``relative`` is what is called aligned here.

    ``run_every`` is seconds or a timedelta.  ``app`` changes nothing.  Raises ScheduleError, also
    for a ``nowfun``.
    """
    refuse_nowfun(nowfun)
    return interval(run_every, aligned=relative)


def _no_base(bases: tuple[object, ...]) -> tuple[type, ...]:
    raise no_class_of_yours("derived from schedule")


# Celery's is a class: whoever derives one is told why not, as with those that are classes here.
vars(schedule)["__mro_entries__"] = _no_base


def _in_words(seconds: float) -> str:
    """Return a time in the largest unit that it is a whole number of."""
    for size, unit in _UNITS:
        if seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.10g} s"


def _seconds(every: object) -> float:
    if isinstance(every, timedelta):
        seconds = every.total_seconds()
    elif isinstance(every, int | float) and not isinstance(every, bool):
        seconds = every if abs(every) < _MOST * 2 else _MOST * 2  # whatever a float can hold
    else:
        raise ScheduleError(f"every {in_short(every)} is neither seconds nor a timedelta")
    if not _LEAST <= seconds <= _MOST:
        raise ScheduleError(
            f"every {in_short(every)} is not an interval from {_LEAST:g} seconds to a hundred years"
        )
    return round(seconds * _MICRO) / _MICRO
