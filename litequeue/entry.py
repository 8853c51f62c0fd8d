"""What the periodic sender works with: an `Entry`, one line of it, and a `Firing`.  Data only.

`schedules` says when an entry is due, `beat` what is to be done about it, and
`store.entries` and `store.ticks` write it down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from litequeue.bounds import MAX_NAME, MAX_PRIORITY
from litequeue.exceptions import ScheduleError

MISFIRES: Final = ("skip", "one", "all")
"""What becomes of ticks that nobody was there to send: none of them, the newest, each."""
OVERLAPS: Final = ("allow", "skip", "queue", "cancel")
"""What becomes of a tick whose entry has an unfinished run."""
MAX_CATCH_UP: Final = 10_000
"""All of them are looked for in the loop of the consumer, for every hundred that are sent."""
MAX_JITTER: Final = 86_400.0
"""Seconds."""
MAX_SPAN: Final = 1e10
"""Seconds, for an expiry and a grace: 317 years."""
MAX_MOMENT: Final = 1e11
"""Epoch seconds: the year 5138."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of beat: a job template, and when it is to be sent.  Checked where it is made.

    ``schedule`` is a schedule as text, ``body`` the encoded arguments and ``options`` what the job
    keeps of its call (JSON).  ``expires`` is seconds from the sending; ``grace`` how many seconds
    late a tick may be sent; ``catch_up`` how many missed ticks are sent at most under "all";
    ``jitter`` the seconds over which ticks are spread; ``start`` and ``end`` epoch seconds.
    Raises `ScheduleError` with the field's name.
    """

    name: str
    schedule: str
    task: str
    body: str
    queue: str
    priority: int = 0
    options: str | None = None
    expires: float | None = None
    misfire: str = "one"
    grace: float | None = None
    catch_up: int = 1000
    overlap: str = "allow"
    jitter: float = 0.0
    start: float | None = None
    end: float | None = None

    def __post_init__(self) -> None:
        """Refuse what beat could not keep."""
        for field in ("name", "task", "queue"):
            _check_name(self.name, field, getattr(self, field))
        for field in ("schedule", "body"):
            if not isinstance(getattr(self, field), str):
                raise _refusal(self.name, field, "is text", getattr(self, field))
        _check_whole(self.name, "priority", self.priority, (-MAX_PRIORITY, MAX_PRIORITY))
        _check_whole(self.name, "catch_up", self.catch_up, (1, MAX_CATCH_UP))
        _check_word(self.name, "misfire", self.misfire, MISFIRES)
        _check_word(self.name, "overlap", self.overlap, OVERLAPS)
        for field in ("expires", "grace"):
            if (seconds := getattr(self, field)) is not None:
                _check_seconds(self.name, field, seconds, (0.0, MAX_SPAN))
        _check_seconds(self.name, "jitter", self.jitter, (0.0, MAX_JITTER))
        for field in ("start", "end"):
            if (moment := getattr(self, field)) is not None:
                _check_seconds(self.name, field, moment, (-MAX_MOMENT, MAX_MOMENT))
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise ScheduleError(
                f"entry {self.name!r}: start is at or after end, so it would never be sent; "
                "give an end that is later"
            )


@dataclass(frozen=True, slots=True)
class Firing:
    """What beat decided about one entry, as it was at ``version``.

    ``ticks`` holds (key, at, due, job id), oldest first; the three fields after it say which tick
    comes next (None: none ever).  Moments are epoch seconds.
    """

    entry: int
    version: int
    ticks: tuple[tuple[str, float, float, str], ...]
    next_key: str | None
    next_at: float | None
    next_due: float | None


def jitter_of(name: str, key: str, jitter: float) -> float:
    """Return the seconds by which a tick is put off: at least 0, less than ``jitter``.

    It depends on nothing but the arguments, so that every process says the same.
    """
    import zlib

    # zlib's sum of short texts that differ in one digit is no noise; multiplied, its top bits are.
    mixed = zlib.crc32(f"{name}\0{key}".encode()) * 0x9E3779B97F4A7C15 & (1 << 64) - 1
    return jitter * ((mixed >> 12) / (1 << 52))


def _check_name(entry: str, field: str, value: object) -> None:
    try:
        fits = isinstance(value, str) and 1 <= len(value.encode()) <= MAX_NAME
    except UnicodeEncodeError:
        fits = False
    if not fits:
        raise _refusal(entry, field, f"is text of 1 to {MAX_NAME} bytes", value)


def _check_word(entry: str, field: str, value: object, words: tuple[str, ...]) -> None:
    if value not in words:
        raise _refusal(entry, field, f"is {', '.join(words[:-1])} or {words[-1]}", value)


def _check_whole(entry: str, field: str, value: object, bounds: tuple[int, int]) -> None:
    least, most = bounds
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _refusal(entry, field, f"is a whole number from {least:,} to {most:,}", value)


def _check_seconds(entry: str, field: str, value: object, bounds: tuple[float, float]) -> None:
    least, most = bounds
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _refusal(entry, field, "is a number of seconds", value)
    if not least <= value <= most:
        raise _refusal(entry, field, f"is a number from {least:g} to {most:g} seconds", value)


def _refusal(entry: object, field: str, rule: str, value: object) -> ScheduleError:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return ScheduleError(f"entry {entry!r:.80}: {field} {rule}, not {shown}")
