"""Steps of the clock, and times in which the machine slept: seen by clocks that do not agree."""

from __future__ import annotations

import logging
from typing import Final

from litequeue.clock import Clock

logger: Final = logging.getLogger("litequeue.beat")

STEP: Final = 1.0
"""Seconds; what is less is how clocks are kept right (half a millisecond per second)."""


class Steps:
    """Compares the wall clock with one that is never set, and that one with one that stops.

    The clock of `Clock.boottime` counts while the machine sleeps, `Clock.monotonic` does not
    (clock_gettime(2)); where the two are one, sleep looks like a step forward.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._asleep = self._compare()

    def went_back(self) -> bool:
        """Tell whether the wall clock was put back since the last look; log what else happened."""
        wall, asleep = self._compare()
        step, slept = wall - self._wall, asleep - self._asleep
        self._wall, self._asleep = wall, asleep
        if slept > STEP:
            logger.info("the machine slept for %.0f s; what was missed follows its policy", slept)
        if abs(step) > STEP:
            where = "forward" if step > 0 else "back"
            logger.warning("the clock was put %s by %.0f s", where, abs(step))
        return step < -STEP

    def _compare(self) -> tuple[float, float]:
        boot = self._clock.boottime()
        return self._clock.now() - boot, boot - self._clock.monotonic()
