"""Whether and when a failed job runs again.  Pure decisions; names and defaults are Celery's."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random, SystemRandom
from typing import Any

_random = SystemRandom()  # children that were forked from one process draw anew


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The retry options of a task (Celery's task attributes of the same names).

    ``default_retry_delay`` and ``retry_backoff_max`` are seconds; ``max_retries`` None is no limit;
    ``retry_backoff`` True is 1 second, a number is the first delay in seconds.
    """

    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    max_retries: int | None = 3
    default_retry_delay: float = 180.0
    retry_backoff: float = 0.0
    retry_backoff_max: float = 600.0
    retry_jitter: bool = True
    retry_kwargs: dict[str, Any] | None = None

    def wants(self, error: BaseException) -> bool:
        """Tell whether ``error`` asks for an automatic retry."""
        return isinstance(error, self.autoretry_for) and not isinstance(
            error, self.dont_autoretry_for
        )

    def countdown(self, retries: int) -> float:
        """Return the seconds before automatic retry number ``retries + 1``."""
        if not self.retry_backoff:
            return float((self.retry_kwargs or {}).get("countdown", self.default_retry_delay))
        return backoff(
            retries,
            factor=self.retry_backoff,
            maximum=self.retry_backoff_max,
            jitter=self.retry_jitter,
        )


def backoff(
    retries: int, *, factor: float, maximum: float, jitter: bool, random: Random = _random
) -> float:
    """Return ``factor * 2**retries`` seconds, at most ``maximum``; with jitter a part of it.

    Full jitter (anything from zero up) is Celery's, and spreads a crowd best.
    """
    delay = min(maximum, factor * 2.0 ** min(retries, 64))
    return random.uniform(0, delay) if jitter else delay


def is_spent(retries: int, max_retries: int | None) -> bool:
    """Tell whether a job that has been retried ``retries`` times may not be retried again."""
    return max_retries is not None and retries >= max_retries
