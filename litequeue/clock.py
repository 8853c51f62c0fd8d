"""The only place that reads a clock.  Everything else is handed the time, or a `Clock`."""

from __future__ import annotations

import time
from typing import Final, Protocol

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """What the library needs of time; tests pass one that they move by hand."""

    def now(self) -> float:
        """Seconds since the epoch: what is stored, shown and compared with an ETA."""

    def monotonic(self) -> float:
        """Seconds that never go back: deadlines and durations of this process."""

    def boottime(self) -> float:
        """Seconds that never go back and count while the machine sleeps: leases."""

    def sleep(self, seconds: float) -> None:
        """Let other processes run."""


class SystemClock:
    """The machine's clocks."""

    now: Final = staticmethod(time.time)
    monotonic: Final = staticmethod(time.monotonic)
    sleep: Final = staticmethod(time.sleep)

    @staticmethod
    def boottime() -> float:
        """Return CLOCK_BOOTTIME where there is one (Linux), else the monotonic clock."""
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


SYSTEM: Clock = SystemClock()
