"""`Request`: a job while it runs, what a task sees as ``self.request``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litequeue.job import Lease


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """When the next attempt is due (epoch seconds), and with which arguments instead."""

    when: float
    args: tuple[Any, ...] | None
    kwargs: dict[str, Any] | None


@dataclass(slots=True)
class Request:
    """The running job; Celery's names.

    ``claim`` grows with every attempt: an outside system can refuse a stale one by it.
    ``eta`` and ``expires`` are epoch seconds.
    """

    id: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    retries: int
    claim: int
    hostname: str
    queue: str
    priority: int
    eta: float | None
    expires: float | None
    parent_id: str | None
    retry_plan: RetryPlan | None = None
    called_directly: bool = False
    is_eager: bool = False

    @property
    def delivery_info(self) -> dict[str, Any]:
        """Where the job came from, in Celery's form."""
        return {
            "exchange": "",
            "routing_key": self.queue,
            "priority": self.priority,
            "redelivered": self.claim > self.retries + 1,
        }

    def plan_retry(
        self, when: float, *, args: tuple[Any, ...] | None, kwargs: dict[str, Any] | None
    ) -> None:
        """Remember what `Task.retry` decided, for the executor."""
        self.retry_plan = RetryPlan(when, args, kwargs)


def request_for(lease: Lease, args: list[Any], kwargs: dict[str, Any], hostname: str) -> Request:
    """Build the request of an attempt."""
    return Request(
        id=lease.id,
        task=lease.task,
        args=args,
        kwargs=kwargs,
        retries=lease.retries,
        claim=lease.claim,
        hostname=hostname,
        queue=lease.queue,
        priority=lease.priority,
        eta=lease.eta,
        expires=lease.expires,
        parent_id=lease.parent,
    )
