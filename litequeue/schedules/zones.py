"""Time zones as spans of one offset, and where wall time and real time meet.

`first_instant` is all there is to say of daylight saving time and fixed hours: the first
occurrence of a wall time, or the first moment after the gap that it fell into.
"""

from __future__ import annotations

import logging
import os
import re
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from datetime import tzinfo as TZInfo
from functools import lru_cache
from operator import attrgetter
from typing import Final

from litequeue.exceptions import ScheduleError
from litequeue.schedules.base import in_short

LOCAL: Final = "local"
_DAY: Final = 86_400
_PERIOD: Final = 366 * _DAY
_LOCALTIME: Final = "/etc/localtime"
_POSIX_RULE: Final = re.compile(r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)[+-]?\d")  # as CET-1CEST

logger: Final = logging.getLogger("litequeue.beat")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of real time with one offset; ``before`` is the offset just before it.

    ``start`` and ``end`` are seconds since the epoch, offsets are seconds east of UTC.  Two
    spans in a row may have the same offset.
    """

    start: int
    end: int
    offset: int
    before: int


@dataclass(frozen=True)
class Zone:
    """A time zone: ``offset_at`` an instant, in seconds east of UTC."""

    name: str
    offset_at: Callable[[int], int]

    def span(self, instant: int) -> Span:
        """Return the span that ``instant`` lies in."""
        spans = _spans(self, instant // _PERIOD)
        return spans[bisect_right(spans, instant, key=_start_of) - 1]

    def first_instant(self, wall: int) -> tuple[int, int]:
        """Return when the clocks first show ``wall`` or, in a gap, go past it; and what they show.

        ``wall`` is the wall time in seconds, as if it were UTC.
        """
        span = self.span(wall - _DAY)
        while wall - span.offset >= span.end:
            span = self.span(span.end)
        instant = max(wall - span.offset, span.start)
        return instant, instant + span.offset


_start_of = attrgetter("start")


@lru_cache(maxsize=4096)
def _spans(zone: Zone, period: int) -> tuple[Span, ...]:
    """Return the spans of one period, which ends as one even where no offset changes."""
    start, stop = period * _PERIOD, (period + 1) * _PERIOD
    before = zone.offset_at(start - 1)
    spans = []
    while start < stop:
        end = _next_change(zone.offset_at, start, stop)
        spans.append(Span(start, end, zone.offset_at(start), before))
        before, start = zone.offset_at(start), end
    return tuple(spans)


def _next_change(offset_at: Callable[[int], int], start: int, stop: int) -> int:
    """Return the first second after ``start`` with another offset, ``stop`` if there is none.

    By steps of a day: no zone has changed its mind twice within one.
    """
    offset = offset_at(start)
    same = start
    while offset_at(other := min(same + _DAY, stop)) == offset:
        if other == stop:
            return stop
        same = other
    while other - same > 1:
        middle = (same + other) // 2
        if offset_at(middle) == offset:
            same = middle
        else:
            other = middle
    return other


def machine_zone() -> str:
    """Return the name of the machine's own zone of today, another one where it has moved."""
    return _machine_zone().name


def zone_named(name: str) -> Zone:
    """Return the zone of this name, the machine's own of today for ``"local"``.

    Raises ScheduleError for a name that nothing is known of.
    """
    return _machine_zone() if name == LOCAL else _iana_zone(name)


def zone_name(zone: object) -> str:
    """Return the name of what a user gave as a time zone.  Raises ScheduleError."""
    if isinstance(zone, str):
        return zone_named(zone).name if zone != LOCAL else LOCAL
    key = getattr(zone, "key", None)
    if zone is UTC:
        return "UTC"
    if isinstance(zone, TZInfo) and isinstance(key, str):
        return zone_named(key).name
    raise ScheduleError(
        f"tz {in_short(zone)} has no name that could be stored; name a zone, as tz='Europe/Berlin'"
    )


@lru_cache(maxsize=1024)
def _iana_zone(name: str) -> Zone:
    if name in {"UTC", "Etc/UTC"}:
        return Zone(name, _no_offset)
    from zoneinfo import ZoneInfo

    try:
        return Zone(name, _by_rules(ZoneInfo(name)))
    except (KeyError, ValueError, OSError):  # unknown, malformed, the name of a directory
        raise ScheduleError(
            f"tz {in_short(name)} is not a time zone that this machine knows; take an IANA name "
            "such as 'Europe/Berlin', 'UTC', or 'local' for the machine's own"
        ) from None


def _machine_zone() -> Zone:
    """Return the machine's zone, looked up anew: laptops travel."""
    setting = os.environ.get("TZ")
    link = state = None
    if setting is None:
        try:
            link = os.readlink(_LOCALTIME)  # noqa: PTH115 - asked at every tick
        except OSError:  # a file of its own, or none
            state = _state_of_localtime()
    return _zone_of_machine(setting, link, state)


def _state_of_localtime() -> tuple[int, int] | None:
    try:
        found = os.stat(_LOCALTIME)  # noqa: PTH116 - asked at every tick
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@lru_cache(maxsize=8)
def _zone_of_machine(setting: str | None, link: str | None, state: tuple[int, int] | None) -> Zone:
    """Return the zone that TZ or /etc/localtime names, else what the C library says.

    ``state`` only tells one file from the next.
    """
    name = (setting or "").removeprefix(":") or (link or "").partition("zoneinfo/")[2]
    if name:
        try:
            return _iana_zone(name)
        except ScheduleError:  # a POSIX rule, or a path
            if setting and not _c_library_knows(name):
                logger.warning(
                    "TZ=%s is not a time zone that this machine knows, so the zone 'local' is "
                    "UTC; set TZ to an IANA name such as Europe/Berlin",
                    setting,
                )
    return Zone(f"{LOCAL} {setting} {link} {state}", _by_c_library)


def _c_library_knows(setting: str) -> bool:
    """Tell whether a setting that is no IANA name is the path of a zone, or a rule by POSIX."""
    is_path = setting.startswith("/") and os.path.isfile(setting)  # noqa: PTH113 - light
    return is_path or _POSIX_RULE.match(setting) is not None


def _by_rules(rules: TZInfo) -> Callable[[int], int]:
    def offset_at(instant: int) -> int:
        offset = datetime.fromtimestamp(instant, rules).utcoffset()
        return 0 if offset is None else int(offset.total_seconds())

    return offset_at


def _by_c_library(instant: int) -> int:
    time.tzset()  # it would not notice otherwise
    return time.localtime(instant).tm_gmtoff


def _no_offset(instant: int) -> int:
    return 0
