"""`solar`: what the sun does at a place, by the formulas of the astral library.

Days are counted by the sun of the place, one noon after the other, so no event is missed or seen
twice where it comes close to midnight UTC.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from math import floor
from typing import Any, Final

from litequeue.exceptions import ScheduleError
from litequeue.schedules.base import Schedule, Tick, in_short, instant_tick, refuse_nowfun

_DAY: Final = 86_400
_SEARCHED: Final = 400  # days: the sun comes back every year
_JULIAN_DAY_OF_EPOCH: Final = 2_440_587.5
_STEEPEST: Final = 89.8  # degrees: at a pole itself every direction is south
_RISING, _SETTING = -1, 1
# How many degrees the middle of the sun is from overhead: 90, and what air and its size add.
_EVENTS: Final = {
    "dawn_astronomical": (108.0, _RISING),
    "dawn_nautical": (102.0, _RISING),
    "dawn_civil": (96.0, _RISING),
    "sunrise": (90 + 50 / 60, _RISING),
    "solar_noon": (0.0, 0),
    "sunset": (90 + 50 / 60, _SETTING),
    "dusk_civil": (96.0, _SETTING),
    "dusk_nautical": (102.0, _SETTING),
    "dusk_astronomical": (108.0, _SETTING),
}


@dataclass(frozen=True, slots=True, init=False)
class solar(Schedule):
    """An event of the sun at a place; days without it, as in a polar summer, are passed over.

    ``event`` is dawn_astronomical, dawn_nautical, dawn_civil, sunrise, solar_noon, sunset,
    dusk_civil, dusk_nautical or dusk_astronomical; ``lat`` and ``lon`` are degrees, north and
    east positive; ``app`` changes nothing.  Needs the extra ``solar``.  Raises ScheduleError.
    """

    event: str
    lat: float
    lon: float

    def __init__(
        self, event: str, lat: float, lon: float, *, nowfun: None = None, app: object = None
    ) -> None:
        refuse_nowfun(nowfun)
        if event not in tuple(_EVENTS):
            raise ScheduleError(f"event {in_short(event)} is none of {', '.join(_EVENTS)}")
        object.__setattr__(self, "event", event)
        object.__setattr__(self, "lat", _degrees("lat", lat, 90))
        object.__setattr__(self, "lon", _degrees("lon", lon, 180))
        _require_astral()

    def _after(self, moment: float, anchor: float) -> Tick | None:
        first = floor((moment + self.lon * 240) / _DAY) - 1
        for day in range(first, first + _SEARCHED):
            at = _event_of_day(self.event, self.lat, self.lon, day)
            if at is not None and at > moment:
                return instant_tick(at * 1_000_000)
        return None

    def form(self) -> dict[str, Any]:
        """Return the schedule as data for JSON."""
        return {"solar": self.event, "lat": self.lat, "lon": self.lon}

    def __str__(self) -> str:
        return f"{self.event} at {self.lat:g}, {self.lon:g}"


@lru_cache(maxsize=4096)
def _event_of_day(event: str, lat: float, lon: float, day: int) -> int | None:
    """Return the second of the event, None where the sun does not go so high or so low.

    ``day`` counts noons of the place since 1970-01-01.
    """
    from astral.julian import julianday_to_juliancentury
    from astral.sun import eq_of_time, sun_declination

    zenith, side = _EVENTS[event]
    mean_noon = day * _DAY + _DAY / 2 - lon * 240
    at = mean_noon
    for _ in range(5):  # each round knows the moment 100 times better
        century = julianday_to_juliancentury(at / _DAY + _JULIAN_DAY_OF_EPOCH)
        angle = _hour_angle(lat, sun_declination(century), zenith) if side else 0.0
        if angle is None:
            return None
        at = mean_noon - eq_of_time(century) * 60 + side * angle * 240
    return round(at)


def _hour_angle(lat: float, declination: float, zenith: float) -> float | None:
    """Return how far the sun is from its noon when it is ``zenith`` from overhead, in degrees."""
    north = math.radians(max(-_STEEPEST, min(_STEEPEST, lat)))
    high = math.radians(declination)
    cosine = (math.cos(math.radians(zenith)) - math.sin(north) * math.sin(high)) / (
        math.cos(north) * math.cos(high)
    )
    return math.degrees(math.acos(cosine)) if abs(cosine) <= 1 else None


def _degrees(name: str, value: object, most: int) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and -most <= value <= most:
        return value + 0.0  # one zero, not two
    raise ScheduleError(f"{name} {in_short(value)} is not degrees from -{most} to {most}")


def _require_astral() -> None:
    from importlib.util import find_spec

    if find_spec("astral") is None:
        raise ScheduleError(
            "solar needs the astral library, which is not installed; it is in the extra solar: in "
            "a clone of litequeue, run pip install '.[solar]'"
        )
