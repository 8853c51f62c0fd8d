"""Whether and when a failed job runs again.  Pure decisions; names and defaults are Celery's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """The retry options of a task (Celery's task attributes of the same names).

    ``delay`` and ``retry_backoff_max`` are seconds; ``max_retries`` None is no limit;
    ``retry_backoff`` 0 is a fixed delay, a number is the first delay in seconds.
    """

    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    max_retries: int | None = 3
    delay: float = 180.0
    retry_backoff: float = 0.0
    retry_backoff_max: float = 600.0
    retry_jitter: bool = True

    def wants(self, error: BaseException) -> bool:
        """Tell whether ``error`` asks for an automatic retry."""
        return isinstance(error, self.autoretry_for) and not isinstance(
            error, self.dont_autoretry_for
        )

    def countdown(self, retries: int) -> float:
        """Return the seconds before automatic retry number ``retries + 1``."""
        if not self.retry_backoff:
            return self.delay
        return backoff(
            retries,
            factor=self.retry_backoff,
            maximum=self.retry_backoff_max,
            jitter=self.retry_jitter,
        )


def backoff(
    retries: int, *, factor: float, maximum: float, jitter: bool, random: Random | None = None
) -> float:
    """Return ``factor * 2**retries`` seconds, at most ``maximum``; with jitter a part of it.

    Full jitter (anything from zero up) is Celery's, and spreads a crowd best.
    """
    delay = min(maximum, factor * 2.0 ** min(retries, 64))
    if not jitter:
        return delay
    if random is None:
        from random import SystemRandom

        random = SystemRandom()  # children that were forked from one process draw anew
    return random.uniform(0, delay)


def is_spent(retries: int, max_retries: int | None) -> bool:
    """Tell whether a job that has been retried ``retries`` times may not be retried again."""
    return max_retries is not None and retries >= max_retries


def patience(retry: bool | None, policy: Mapping[str, Any] | None) -> float | None:
    """Return how many seconds a call waits for other writers, None for as long as the app does.

    ``policy`` is Celery's ``retry_policy``: ``timeout``, or the sum of the pauses that
    ``max_retries``, ``interval_start``, ``interval_step`` and ``interval_max`` make.  Raises
    TypeError for another key.
    """
    if retry is False:
        return 0.0
    if policy is None:
        return None
    unknown = sorted(policy.keys() - _POLICY)
    if unknown:
        raise TypeError(f"retry_policy has no {unknown[0]!r}; it has {', '.join(sorted(_POLICY))}")
    if policy.get("timeout") is not None:
        return float(policy["timeout"])
    if policy.get("max_retries", 3) is None:
        return None
    start, step = float(policy.get("interval_start", 0)), float(policy.get("interval_step", 0.2))
    most, count = float(policy.get("interval_max", 1)), int(policy.get("max_retries", 3))
    return sum(min(most, start + step * number) for number in range(min(count, 10_000)))


_POLICY: Final = frozenset(
    {"interval_max", "interval_start", "interval_step", "max_retries", "retry_errors", "timeout"}
)
