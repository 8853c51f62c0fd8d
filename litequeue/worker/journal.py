"""One log line per event, and a number instead of lines when there are too many of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.job import Lease, Outcome
from litequeue.log import about

logger: Final = logging.getLogger("litequeue.worker")

LINES_PER_SECOND: Final = 100
_SHOWN: Final = 200


class Journal:
    """Logs what became of jobs.  Everything a job brought is escaped and cut."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._good = Meter(clock.monotonic())
        self._bad = Meter(clock.monotonic())

    def settled(self, outcomes: Iterable[Outcome], leases: dict[int, Lease]) -> None:
        """Log the verdicts of attempts; ``leases`` are theirs by seq."""
        if not logger.isEnabledFor(logging.WARNING):
            return
        informs = logger.isEnabledFor(logging.INFO)
        self._sum_up()
        for outcome in outcomes:
            bad = outcome.failure is not None
            if (bad or informs) and (self._bad if bad else self._good).allows():
                self.event(leases[outcome.seq], _level(outcome), _words(outcome))

    def parked(self, leases: Iterable[Lease]) -> None:
        """Log jobs that no worker here knows."""
        self._sum_up()
        for lease in leases:
            if self._bad.allows():
                self.event(lease, logging.WARNING, "is parked: no worker here knows the task")

    def _sum_up(self) -> None:
        now = self._clock.monotonic()
        for meter, level, words in (
            (self._good, logging.INFO, "... and %d more jobs ended well"),
            (self._bad, logging.WARNING, "... and %d more attempts failed, or jobs were parked"),
        ):
            if untold := meter.untold(now):
                logger.log(level, words, untold)

    def event(self, lease: Lease, level: int, words: str) -> None:
        """Log something else that happened to a job."""
        logger.log(
            level, "%s[%s] %s", safe(shown_name(lease)), safe(lease.id), words,
            extra=about(lease.id, lease.task, lease.claim),
        )  # fmt: skip


def shown_name(lease: Lease) -> str:
    """Return the name that a call was given to be shown by, or else the task's."""
    if lease.options is None or '"shadow"' not in lease.options:
        return lease.task
    try:
        return str(json.loads(lease.options).get("shadow") or lease.task)
    except (AttributeError, ValueError):
        return lease.task


class Meter:
    """Lets so many lines through per second, and counts the others."""

    def __init__(self, now: float, per_second: int = LINES_PER_SECOND) -> None:
        self._per_second = per_second
        self._second = now
        self._lines = 0

    def allows(self) -> bool:
        """Count a line; tell whether it may be written."""
        self._lines += 1
        return self._lines <= self._per_second

    def untold(self, now: float) -> int:
        """Return, once a second is over, how many lines it kept back."""
        if now - self._second < 1.0:
            return 0
        kept = max(0, self._lines - self._per_second)
        self._second, self._lines = now, 0
        return kept


def _level(outcome: Outcome) -> int:
    if outcome.state == states.FAILURE:
        expected = outcome.failure is not None and outcome.failure.expected
        return logging.INFO if expected else logging.ERROR
    return logging.INFO if outcome.failure is None else logging.WARNING


def _words(outcome: Outcome) -> str:
    took = f"in {outcome.runtime:.3f} s"
    if outcome.state == states.SUCCESS:
        return f"succeeded {took}: {safe(outcome.shown or '')}"
    failure = outcome.failure
    reason = "" if failure is None else f": {safe(failure.type)}: {safe(failure.message)}"
    if outcome.state == states.RETRY and outcome.sequel is not None:
        return f"has replaced itself {took}"
    if outcome.state == states.RETRY:
        return f"ended {took} and will be retried{reason}"
    if outcome.state == states.FAILURE:
        if failure is None or failure.expected or not failure.traceback:
            return f"failed {took}{reason}"
        trace = f"\n{lines(failure.traceback)}"
        return f"failed {took}{reason}{trace}"
    return f"ended as {outcome.state} {took}{reason}"


def safe(text: str) -> str:
    """Return ``text`` on one line, without control characters, and not too long."""
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return shown if shown.isprintable() else repr(shown)[1:-1]


def lines(text: str) -> str:
    """Return many lines of text without the characters that steer a terminal."""
    return "\n".join(
        line if line.isprintable() else repr(line)[1:-1] for line in text.rstrip().splitlines()
    )
