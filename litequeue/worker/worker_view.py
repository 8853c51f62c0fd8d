"""What the panel needs of the worker it sits in: a `WorkerView`, which the consumer provides."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from litequeue.job import Lease
from litequeue.store import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """The pool as the supervisor last told of it.  Limits are seconds and KiB, None for none.

    ``honours`` is the pool class's own, ``autoscale`` (max, min).  ``most`` is how many jobs there
    is room for at once.
    """

    name: str
    concurrency: int
    pids: Sequence[int]
    honours: frozenset[str]
    most: int | None = None
    soft_time_limit: float | None = None
    time_limit: float | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    autoscale: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """A lease that a line runs: since when (epoch seconds), in which process."""

    lease: Lease
    started: float
    pid: int


class WorkerView(Protocol):
    """What the panel sees of a worker, and can have it do: the consumer's part to provide."""

    @property
    def database(self) -> Database:
        """The file."""

    @property
    def name(self) -> str:
        """The worker's name, by which commands are addressed."""

    @property
    def pid(self) -> int:
        """The supervisor."""

    @property
    def started(self) -> float:
        """When the worker started, in epoch seconds."""

    @property
    def tasks(self) -> Mapping[str, Mapping[str, str]]:
        """The registered tasks, each with what `showing.attributes_of` said of it."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What `showing.settings_of` said of the app's settings."""

    @property
    def totals(self) -> Mapping[str, int]:
        """How many jobs of each task this worker has finished."""

    @property
    def prefetch(self) -> int:
        """How many leases may be out just now."""

    @property
    def pool(self) -> PoolState:
        """The pool."""

    @property
    def queues(self) -> Sequence[str] | None:
        """The patterns that -Q gave, in their order, and `add_queue` since; None for all queues."""

    @property
    def excluded(self) -> Sequence[str]:
        """The patterns that -X gave, and `cancel_queue` since."""

    @property
    def revoked(self) -> Collection[str]:
        """The job ids whose revocations this worker knows."""

    @property
    def sends_events(self) -> bool:
        """Whether task events are written."""

    def leases(self) -> Iterable[Lease]:
        """Return the leases that are out and whose outcomes have not come."""

    def runs(self) -> Iterable[Run]:
        """Return those of them that a line runs now."""

    def add_queue(self, name: str) -> None:
        """Claim from this queue, too, and from now on."""

    def cancel_queue(self, name: str) -> None:
        """Claim from this queue no more; what is leased runs."""

    def limit_time(self, task: str, soft: float | None, hard: float | None) -> None:
        """Have later leases of ``task`` these limits in seconds, unless the call says its own."""

    def send_events(self, on: bool) -> None:
        """Write task events from now on, or no more."""

    def send_heartbeat(self) -> None:
        """Write a worker-heartbeat event now, if events are written."""

    def resize_pool(self, by: int) -> None:
        """Have the supervisor start ``by`` more children, or end as many once they are idle."""

    def autoscale(self, most: int, least: int) -> None:
        """Have the supervisor keep to this range from now on."""

    def restart_pool(self, *, reload: bool) -> None:
        """Replace the children; with ``reload`` all processes of the worker, as HUP does."""

    def shut_down(self) -> None:
        """Have the supervisor stop warmly, as on TERM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a command is answered with.

    ``number`` is the command's, ``now`` in epoch seconds, ``samples`` are bytes of memory.
    """

    worker: WorkerView
    number: int
    now: float
    samples: deque[int] = field(default_factory=deque)


class Refused(Exception):
    """A command that cannot be obeyed; the text is the answer's ``error``."""
