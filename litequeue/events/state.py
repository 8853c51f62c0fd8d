"""What events add up to: workers and tasks in memory, for monitors (Celery's `State`)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from litequeue import states
from litequeue.clock import SYSTEM, Clock

HEARTBEATS: Final = 4
"""Heartbeats that a worker is remembered by."""
EXPIRES: Final = 2.0
"""How many periods a heartbeat counts for (Celery's window of 200 percent)."""
_STATES: Final = {
    "sent": states.PENDING,
    "received": states.RECEIVED,
    "started": states.STARTED,
    "failed": states.FAILURE,
    "retried": states.RETRY,
    "succeeded": states.SUCCESS,
    "revoked": states.REVOKED,
    "rejected": states.REJECTED,
}
_FROM_RECEIVED: Final = frozenset(
    {"name", "args", "kwargs", "parent_id", "root_id", "retries", "eta", "expires"}
)
_SHOWN: Final = (
    "args", "kwargs", "retries", "result", "eta", "runtime", "expires", "exception", "exchange",
    "routing_key", "root_id", "parent_id",
)  # fmt: skip
_NOT_A_TASKS: Final = frozenset({"type", "hostname", "pid", "utcoffset", "local_received", "uuid"})


@dataclass(slots=True)
class Worker:
    """What is known of a worker.  ``heartbeats`` are the moments of the last ones."""

    hostname: str
    pid: int | None = None
    freq: float = 60.0
    heartbeats: list[float] = field(default_factory=list)
    clock: int = 0
    active: int | None = None
    processed: int | None = None
    loadavg: list[float] | None = None
    sw_ident: str | None = None
    sw_ver: str | None = None
    sw_sys: str | None = None
    system_clock: Clock = SYSTEM

    _FIELDS: ClassVar = frozenset(
        {"pid", "freq", "clock", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys"}
    )

    def event(self, kind: str | None, received: float, fields: dict[str, Any]) -> None:
        """Take an event of this worker into account; ``kind`` None: one about a task."""
        if kind is not None:
            for name in self._FIELDS & fields.keys():
                setattr(self, name, fields[name])
        if kind == "offline":
            self.heartbeats.clear()
        else:
            self.heartbeats = sorted([*self.heartbeats, received])[-HEARTBEATS:]

    @property
    def heartbeat_expires(self) -> float:
        """When its last heartbeat is too old (epoch seconds)."""
        return self.heartbeats[-1] + self.freq * EXPIRES

    @property
    def alive(self) -> bool:
        """Whether it has been heard of lately."""
        return bool(self.heartbeats) and self.system_clock.now() < self.heartbeat_expires

    @property
    def status_string(self) -> str:
        """ONLINE or OFFLINE."""
        return "ONLINE" if self.alive else "OFFLINE"

    @property
    def id(self) -> str:
        """Its name and its process."""
        return f"{self.hostname}.{self.pid}"


class Task:
    """What is known of one job; Celery calls it a task.  Fields that no event gave are None."""

    name: str | None = None
    args: str | None = None
    kwargs: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: int | None = None
    result: str | None = None
    exception: str | None = None
    traceback: str | None = None
    runtime: float | None = None
    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    root_id: str | None = None
    parent_id: str | None = None
    timestamp: float | None = None
    sent: float | None = None
    received: float | None = None
    started: float | None = None
    succeeded: float | None = None
    failed: float | None = None
    retried: float | None = None
    revoked: float | None = None
    rejected: float | None = None
    client: str | None = None
    worker: Worker | None = None
    state: str = states.PENDING
    clock: int = 0

    def __init__(self, uuid: str, among: State) -> None:
        self.uuid: str = uuid
        self._among = among

    def event(self, kind: str, at: float, fields: dict[str, Any]) -> None:
        """Take an event of this job into account; one that comes late changes no later state."""
        state = _STATES.get(kind, kind.upper())
        if kind in _STATES:
            setattr(self, kind, at)
        news = {name: value for name, value in fields.items() if name not in _NOT_A_TASKS}
        late = states.RETRY not in (state, self.state) and (
            states.precedence(state) > states.precedence(self.state)
        )
        if not late:
            news.update(state=state, timestamp=at)
        elif state == states.RECEIVED:
            news = {name: value for name, value in news.items() if name in _FROM_RECEIVED}
        self.__dict__.update(news)

    def info(
        self, fields: Iterator[str] | None = None, extra: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return what there is to show of it."""
        names = [*(_SHOWN if fields is None else fields), *extra]
        found = ((name, getattr(self, name, None)) for name in names)
        return {name: value for name, value in found if value is not None}

    @property
    def id(self) -> str:
        """The id of the job."""
        return self.uuid

    @property
    def ready(self) -> bool:
        """Whether it has ended."""
        return self.state in states.READY_STATES

    @property
    def origin(self) -> str | None:
        """Who reported it last: its worker, or else who sent it."""
        return self.client if self.worker is None else self.worker.id

    @property
    def parent(self) -> Task | None:
        """The job that sent it, if it is known here."""
        return self._among.tasks.get(self.parent_id or "")

    @property
    def root(self) -> Task | None:
        """The first job of the family, if it is known here."""
        return self._among.tasks.get(self.root_id or "")

    @property
    def children(self) -> list[Task]:
        """The jobs that it sent, as far as they are known here."""
        return [task for task in self._among.tasks.values() if task.parent_id == self.uuid]

    def __repr__(self) -> str:
        return f"<Task: {self.name}({self.uuid}) {self.state} clock:{self.clock}>"


class State:
    """Workers and tasks as events tell of them: hand every event to `event`.

    The last heard of are kept: ``max_workers_in_memory`` and ``max_tasks_in_memory`` of them.
    """

    def __init__(
        self,
        callback: Callable[[State, dict[str, Any]], object] | None = None,
        *,
        max_workers_in_memory: int = 5000,
        max_tasks_in_memory: int = 10_000,
        on_node_join: Callable[[Worker], object] | None = None,
        on_node_leave: Callable[[Worker], object] | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self.workers: dict[str, Worker] = {}
        self.tasks: dict[str, Task] = {}
        self.event_count: int = 0
        self.task_count: int = 0
        self.event_callback = callback
        self.on_node_join = on_node_join
        self.on_node_leave = on_node_leave
        self._most_workers = max_workers_in_memory
        self._most_tasks = max_tasks_in_memory
        self._clock = clock
        self._lock = threading.RLock()

    def event(self, event: dict[str, Any]) -> None:
        """Take one event into account; those of other groups only count."""
        with self._lock:
            self.event_count += 1
            if self.event_callback is not None:
                self.event_callback(self, event)
            group, _, kind = event["type"].partition("-")
            if group == "worker" and event.get("hostname"):
                self._worker_event(kind, event)
            elif group == "task" and event.get("uuid"):
                self._task_event(kind, event)

    def _worker_event(self, kind: str, event: dict[str, Any]) -> None:
        joins = kind == "online" or event["hostname"] not in self.workers
        worker, _ = self.get_or_create_worker(event["hostname"])
        worker.event(kind, event["local_received"], event)
        if kind == "offline":
            self.workers.pop(worker.hostname)
            if self.on_node_leave is not None:
                self.on_node_leave(worker)
        elif joins and self.on_node_join is not None:
            self.on_node_join(worker)

    def _task_event(self, kind: str, event: dict[str, Any]) -> None:
        task, _ = self.get_or_create_task(event["uuid"])
        if kind == "sent":
            task.client = event.get("hostname")
        elif event.get("hostname"):
            task.worker, _ = self.get_or_create_worker(event["hostname"])
            task.worker.event(None, event["local_received"], {})
        if kind == "received":
            self.task_count += 1
        task.event(kind, event["timestamp"], event)

    def get_or_create_worker(self, hostname: str, **fields: Any) -> tuple[Worker, bool]:
        """Return (worker, whether it is new)."""
        known = self.workers.pop(hostname, None)
        worker = known or Worker(hostname, system_clock=self._clock)
        self.workers[hostname] = worker  # the last heard of comes last
        for name, value in fields.items():
            setattr(worker, name, value)
        _forget_oldest(self.workers, self._most_workers)
        return worker, known is None

    def get_or_create_task(self, uuid: str) -> tuple[Task, bool]:
        """Return (task, whether it is new)."""
        known = self.tasks.pop(uuid, None)
        task = known or Task(uuid, self)
        self.tasks[uuid] = task
        _forget_oldest(self.tasks, self._most_tasks)
        return task, known is None

    # Questions

    def alive_workers(self) -> list[Worker]:
        """Return the workers that have been heard of lately."""
        return [worker for worker in list(self.workers.values()) if worker.alive]

    def tasks_by_time(
        self, limit: int | None = None, reverse: bool = True
    ) -> Iterator[tuple[str, Task]]:
        """Yield (uuid, task), those with the latest events first."""
        with self._lock:
            ordered = sorted(self.tasks.items(), key=lambda each: each[1].clock, reverse=reverse)
        yield from ordered[:limit]

    tasks_by_timestamp = tasks_by_time

    def tasks_by_type(self, name: str, limit: int | None = None) -> Iterator[tuple[str, Task]]:
        """Yield (uuid, task) of the task ``name``, those with the latest events first."""
        found = [each for each in self.tasks_by_time() if each[1].name == name]
        yield from found[:limit]

    def tasks_by_worker(
        self, hostname: str, limit: int | None = None
    ) -> Iterator[tuple[str, Task]]:
        """Yield (uuid, task) of what a worker has reported, the latest events first."""
        found = [
            (uuid, task)
            for uuid, task in self.tasks_by_time()
            if task.worker is not None and task.worker.hostname == hostname
        ]
        yield from found[:limit]

    def itertasks(self, limit: int | None = None) -> Iterator[tuple[str, Task]]:
        """Yield (uuid, task) in no certain order."""
        with self._lock:
            found = list(self.tasks.items())
        yield from found[:limit]

    def task_types(self) -> list[str]:
        """Return the names of the tasks that were seen."""
        return sorted({task.name for _, task in self.itertasks() if task.name is not None})

    def freeze_while(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call ``function`` while nothing changes."""
        with self._lock:
            return function(*args, **kwargs)

    def clear_tasks(self, ready: bool = True) -> None:
        """Forget the tasks that have ended; all of them with ``ready`` false."""
        with self._lock:
            kept = {uuid: task for uuid, task in self.tasks.items() if ready and not task.ready}
            self.tasks.clear()
            self.tasks.update(kept)

    def clear(self, ready: bool = True) -> None:
        """Forget the workers, and tasks as `clear_tasks` does."""
        with self._lock:
            self.workers.clear()
            self.clear_tasks(ready)
            self.event_count = self.task_count = 0


def _forget_oldest(known: dict[str, Any], most: int) -> None:
    while len(known) > most:
        known.pop(next(iter(known)))
