"""One log line per event, and a number instead of lines when there are too many of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from litequeue import states
from litequeue.clock import Clock
from litequeue.job import Lease, Outcome

logger = logging.getLogger("litequeue.worker")

LINES_PER_SECOND: Final = 100
_SHOWN: Final = 200


class Journal:
    """Logs what became of jobs.  Everything a job brought is escaped and cut."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._second = 0.0
        self._lines = 0
        self._untold = 0

    def settled(self, outcomes: Iterable[Outcome], leases: dict[int, Lease]) -> None:
        """Log the verdicts of attempts; ``leases`` are theirs by seq."""
        if not logger.isEnabledFor(logging.WARNING):
            return
        informs = logger.isEnabledFor(logging.INFO)
        for outcome in outcomes:
            failed = outcome.failure is not None
            if (failed or informs) and (failed or self._may_speak()):
                lease = leases[outcome.seq]
                self.event(lease, _level(outcome), _words(outcome))

    def event(self, lease: Lease, level: int, words: str) -> None:
        """Log something else that happened to a job."""
        logger.log(level, "%s[%s] %s", safe(lease.task), safe(lease.id), words)

    def _may_speak(self) -> bool:
        now = self._clock.monotonic()
        if now - self._second >= 1.0:
            if self._untold:
                logger.info("... and %d more jobs ended", self._untold)
            self._second, self._lines, self._untold = now, 0, 0
        self._lines += 1
        if self._lines <= LINES_PER_SECOND:
            return True
        self._untold += 1
        return False


def _level(outcome: Outcome) -> int:
    if outcome.state == states.FAILURE:
        return logging.ERROR
    return logging.INFO if outcome.failure is None else logging.WARNING


def _words(outcome: Outcome) -> str:
    took = f"in {outcome.runtime:.3f} s"
    if outcome.state == states.SUCCESS:
        return f"succeeded {took}: {safe(outcome.result or 'null')}"
    failure = outcome.failure
    reason = "" if failure is None else f": {safe(failure.type)}: {safe(failure.message)}"
    if outcome.state == states.RETRY:
        return f"will be retried {took}{reason}"
    if outcome.state == states.FAILURE:
        trace = "" if failure is None or not failure.traceback else f"\n{lines(failure.traceback)}"
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
