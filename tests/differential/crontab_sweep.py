"""Every transition of every distinct time zone in ten years: `crontab` against the oracle.

`make sweep` runs all of it on the cores there are; the tests run a slice with another seed each
time.
"""

from __future__ import annotations

import os
import random
import sys
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import UTC, datetime
from zoneinfo import available_timezones

from litequeue.schedules import Tick, crontab
from tests.differential.crontab_oracle import Minute, Rule, changes_of, minutes_of, ticks_of

FIRST_YEAR, LAST_YEAR = 2020, 2029
AROUND = 36 * 60  # minutes before and after a transition
# Where the calendar turns, not the clocks.
OTHER_DAYS = ("2023-12-31", "2024-02-29", "2025-02-28", "2026-07-31")
# Moments per window and expression that are no ticks, as a rule: seconds around its middle.
SAMPLES = (*((2,) * 8), *((3 * 3600,) * 6), *((AROUND * 60,) * 6))

# (expression, whether either day is enough)
EXPRESSIONS: tuple[tuple[str, bool], ...] = (
    # every so often: real time
    ("* * * * *", True),
    ("*/5 * * * *", True),
    ("*/7 * * * *", True),
    ("7-59/15 * * * *", True),
    ("0 * * * *", True),
    ("30 * * * *", True),
    ("59 */2 * * *", True),
    ("0 */3 * * *", True),
    ("0,30 */5 * * *", True),
    ("15 0-23 * * *", True),
    ("*/20 * * * sun", True),
    ("0 */1 1-7 * sun", False),
    ("45 * L * *", True),
    ("*/30 */10 * * * *", True),
    ("0,59 30 * * * *", True),
    # fixed hours: wall time
    ("0 0 * * *", True),
    ("30 0 * * *", True),
    ("0 1 * * *", True),
    ("30 1 * * *", True),
    ("0 2 * * *", True),
    ("15 2 * * *", True),
    ("30 2 * * *", True),
    ("59 2 * * *", True),
    ("0 3 * * *", True),
    ("0 12 * * *", True),
    ("59 23 * * *", True),
    ("*/15 1,2 * * *", True),
    ("*/30 2 * * *", True),
    ("* 2 * * *", True),
    ("* 0-4 * * *", True),
    ("0 1-3 * * *", True),
    ("5 0-22/2 * * *", True),
    ("10 22-3 * * *", True),
    ("0 0,2 * * sun", True),
    ("45 1 * mar,oct sunday", True),
    ("30 2 * mar-nov fri-mon", True),
    ("30 2 25-31 * sun", False),
    ("30 2 25-31 * sun", True),
    ("30 2 */2 * 0-7/2", True),
    ("30 2 1-31/3 4,9,10 *", True),
    ("0 3 L * *", True),
    ("0 2 * * Lsun", True),
    ("0 1 1 * sun#1", True),
    ("20 2 * 3,11 sun#2", True),
    ("0 2 29 2 *", True),
    ("30 23 31 12 *", True),
    ("30 30 2 * * *", True),
    ("*/20 59 1-2 * * *", True),
    ("59 59 0-3 * * *", True),
)


@dataclass
class Tally:
    """What was compared."""

    windows: int = 0
    minutes: int = 0
    ticks: int = 0
    moments: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.windows += other.windows
        self.minutes += other.minutes
        self.ticks += other.ticks
        self.moments += other.moments
        self.differences += other.differences

    def __str__(self) -> str:
        return (
            f"{self.windows:,} windows of {2 * AROUND // 60} h, {self.minutes:,} minutes, "
            f"{self.ticks:,} ticks and {self.moments:,} other moments compared, "
            f"{len(self.differences)} differences"
        )


def histories(zones: Sequence[str]) -> dict[str, list[int]]:
    """Return one zone of every distinct history, and the real minutes to look at."""
    days = [
        int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) // 60 for day in OTHER_DAYS
    ]
    found: dict[tuple[tuple[int, int, int], ...], str] = {}
    for zone in zones:
        found.setdefault(changes_of(zone, FIRST_YEAR, LAST_YEAR), zone)
    return {
        zone: [*(real for real, before, after in changes if before != after), *days]
        for changes, zone in found.items()
    }


def compare(zone: str, middles: Sequence[int], chosen: Sequence[tuple[str, bool]]) -> Tally:
    """Compare the expressions around some real minutes."""
    tally = Tally()
    rules = [(Rule(text, either), crontab(text, tz=zone, day_or=either)) for text, either in chosen]
    for middle in middles:
        window = list(minutes_of(zone, middle - AROUND, middle + AROUND))
        tally.windows += 1
        for rule, schedule in rules:
            _compare(zone, window, rule, schedule, tally)
    return tally


def _compare(zone: str, window: list[Minute], rule: Rule, schedule: crontab, tally: Tally) -> None:
    expected = [Tick(key, float(at)) for key, at in ticks_of(rule, zone, window)]
    start, end = window[0].real * 60, window[-1].real * 60 + 59
    found = list(_walk(schedule, start - 0.5, end))
    tally.minutes += len(window)
    tally.ticks += len(expected)
    tally.differences += [f"{schedule}: {one}" for one in {*expected} ^ {*found}]
    if found != sorted(found, key=lambda tick: tick.at):
        tally.differences.append(f"{schedule}: not in order around {start}")
    moments = [tick.at for tick in expected]
    middle = window[len(window) // 2].real * 60
    for distance in SAMPLES:
        moment = middle + random.uniform(-distance, distance)
        after = schedule.after(moment)
        place = bisect_right(moments, moment)
        tally.moments += 1
        if place < len(expected) and after != expected[place]:
            tally.differences.append(f"{schedule}: {after} after {moment}, not {expected[place]}")
        if place == len(expected) and after is not None and after.at <= end:
            tally.differences.append(f"{schedule}: {after} after {moment}, not later than {end}")


def _walk(schedule: crontab, moment: float, end: int) -> Iterator[Tick]:
    while (tick := schedule.after(moment)) is not None and tick.at <= end:
        yield tick
        moment = tick.at


def main() -> int:
    """Compare everything; return 1 if anything differs."""
    started = time.monotonic()
    looked_at = histories(sorted(available_timezones()))
    _say(
        f"{len(looked_at)} distinct histories of {len(available_timezones())} zones, "
        f"{FIRST_YEAR} to {LAST_YEAR}; {len(EXPRESSIONS)} expressions"
    )
    total = Tally()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(compare, zone, at, EXPRESSIONS) for zone, at in looked_at.items()]
        for number, done in enumerate(as_completed(running), 1):
            total.add(done.result())
            if number % 20 == 0 or number == len(running):
                passed = time.monotonic() - started
                _say(f"{number} of {len(running)} histories, {passed:.0f} s: {total}")
    for difference in total.differences[:20]:
        _say(difference)
    return 1 if total.differences else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
