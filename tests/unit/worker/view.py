"""A worker as the panel sees one, without a process: it notes what it is told to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from litequeue.config import Settings
from litequeue.job import Lease
from litequeue.worker import showing
from litequeue.worker.worker_view import PoolState, Run

POOL = PoolState(
    name="prefork",
    concurrency=2,
    pids=(101, 102),
    honours=frozenset({"concurrency", "time_limit"}),
    most=64,
    time_limit=60.0,
)


def lease(seq: int, task: str = "tasks.add", **fields: Any) -> Lease:
    values: dict[str, Any] = {
        "seq": seq, "token": seq * 10, "claim": 1, "id": f"id-{seq}", "task": task,
        "body": '[[1, "two"], {"k": 3}]', "options": None, "queue": "default", "priority": 5,
        "retries": 0, "deaths": 0, "eta": None, "expires": None, "parent": None,
    }  # fmt: skip
    return Lease(**(values | fields))


@dataclass
class FakeWorker:
    database: Any = None
    name: str = "w1"
    pid: int = 100
    started: float = 0.0
    tasks: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: {
            "tasks.mail": {"max_retries": "7", "queue": "mail"},
            "tasks.add": {"max_retries": "3"},
        }
    )
    settings: Mapping[str, Any] = field(
        default_factory=lambda: showing.settings_of(Settings(worker_grace=5.0))
    )
    totals: Mapping[str, int] = field(default_factory=lambda: {"tasks.add": 8})
    prefetch: int = 16
    pool: PoolState = POOL
    queues: Sequence[str] | None = None
    excluded: Sequence[str] = ()
    revoked: Collection[str] = ("gone-1",)
    sends_events: bool = False
    out: list[Lease] = field(default_factory=list)
    running: list[Run] = field(default_factory=list)
    told: list[tuple[Any, ...]] = field(default_factory=list)

    def leases(self) -> Iterable[Lease]:
        return iter(self.out)

    def runs(self) -> Iterable[Run]:
        return iter(self.running)

    def run(self, lease: Lease, *, started: float = 5.0, pid: int = 101) -> None:
        """Have a line run a lease."""
        self.out.append(lease)
        self.running.append(Run(lease, started, pid))

    def with_pool(self, **fields: Any) -> None:
        self.pool = replace(self.pool, **fields)

    def add_queue(self, name: str) -> None:
        self.told.append(("add_queue", name))

    def cancel_queue(self, name: str) -> None:
        self.told.append(("cancel_queue", name))

    def limit_time(self, task: str, soft: float | None, hard: float | None) -> None:
        self.told.append(("limit_time", task, soft, hard))

    def send_events(self, on: bool) -> None:
        self.told.append(("send_events", on))
        self.sends_events = on

    def send_heartbeat(self) -> None:
        self.told.append(("send_heartbeat",))

    def resize_pool(self, by: int) -> None:
        self.told.append(("resize_pool", by))

    def autoscale(self, most: int, least: int) -> None:
        self.told.append(("autoscale", most, least))

    def restart_pool(self, *, reload: bool) -> None:
        self.told.append(("restart_pool", reload))

    def shut_down(self) -> None:
        self.told.append(("shut_down",))
