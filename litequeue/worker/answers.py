"""What a worker answers to ``inspect`` commands.  Names, arguments and forms are Celery's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from litequeue import built_in
from litequeue.config import Settings
from litequeue.job import Lease
from litequeue.store import listing, shown
from litequeue.store.shown import Upcoming
from litequeue.worker import showing
from litequeue.worker.queue_choice import means
from litequeue.worker.worker_view import Desk, Refused, Run, WorkerView

MOST_SCHEDULED: Final = 1000
"""Jobs that one answer names: a file may hold a million that are due later."""


def ping(desk: Desk, **_: Any) -> Any:
    """Say that the worker is there."""
    return {"ok": "pong"}


def clock(desk: Desk, **_: Any) -> Any:
    """Return a number that grows with every command to this file."""
    return {"clock": desk.number}


def hello(desk: Desk, from_node: str, revoked: object = None, **_: Any) -> Any:
    """Greet another worker.  What is revoked is in the file, for all: nothing is merged."""
    if from_node == desk.worker.name:
        return None
    return {"revoked": list(desk.worker.revoked), "clock": desk.number}


# Jobs


def active(desk: Desk, safe: bool | None = None, **_: Any) -> Any:
    """List what runs."""
    runs = _running(desk.worker)
    leases = complete(desk.worker, [run.lease for run in runs.values()])
    return [_request(desk.worker, lease, runs[lease.seq], bool(safe)) for lease in leases]


def reserved(desk: Desk, **_: Any) -> Any:
    """List what is leased and does not run yet."""
    running = _running(desk.worker)
    waiting = [lease for lease in desk.worker.leases() if lease.seq not in running]
    return [_request(desk.worker, lease) for lease in complete(desk.worker, waiting)]


def scheduled(desk: Desk, **_: Any) -> Any:
    """List what is due later and could be run here, the next one first."""
    jobs = shown.next_up(desk.worker.database, MOST_SCHEDULED)
    return [
        {
            "eta": _iso(job.eta),
            "priority": job.priority,
            "request": _request(desk.worker, job),
        }
        for job in _ours(desk.worker, jobs)
    ]


def query_task(desk: Desk, ids: str | Sequence[str], **_: Any) -> Any:
    """Tell of jobs by their ids: [state, request] of each that is known here."""
    worker = desk.worker
    wanted = dict.fromkeys([ids] if isinstance(ids, str) else ids)
    running = _running(worker)
    found: dict[str, Any] = {}
    known = [lease for lease in worker.leases() if lease.id in wanted]
    for lease in complete(worker, known):
        run = running.get(lease.seq)
        state = "reserved" if run is None else "active"
        found[lease.id] = [state, _request(worker, lease, run)]
    rest = [id for id in wanted if id not in found]
    for job in _ours(worker, shown.among(worker.database, rest) if rest else []):
        found[job.id] = ["scheduled", _request(worker, job)]
    return found


def revoked(desk: Desk, **_: Any) -> Any:
    """List the ids of jobs that must not run."""
    return list(desk.worker.revoked)


def complete(worker: WorkerView, leases: Iterable[Lease]) -> list[Lease]:
    """Return the leases with their payloads, which a consumer that took over does not have."""
    found = list(leases)
    without = [lease.seq for lease in found if not lease.body]
    payloads = shown.payloads(worker.database, without) if without else {}
    return [
        replace(lease, body=payloads[lease.seq][0], options=payloads[lease.seq][1])
        if lease.seq in payloads
        else lease
        for lease in found
    ]


def _running(worker: WorkerView) -> dict[int, Run]:
    return {run.lease.seq: run for run in worker.runs()}


def _request(
    worker: WorkerView, job: Lease | Upcoming, run: Run | None = None, safe: bool = False
) -> dict[str, Any]:
    started, pid = (None, None) if run is None else (run.started, run.pid)
    return showing.request_of(job, worker.name, started=started, pid=pid, safe=safe)


def _ours(worker: WorkerView, jobs: Iterable[Upcoming]) -> Iterator[Upcoming]:
    tasks = worker.tasks
    return (job for job in jobs if job.task in tasks and serves(worker, job.queue))


def _iso(moment: float) -> str | None:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(moment, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None


# What it knows


def registered(
    desk: Desk, taskinfoitems: Sequence[str] | None = None, builtins: bool = False, **_: Any
) -> Any:
    """List the tasks, each with the attributes that were asked for, ``builtins`` too if wanted."""
    wanted = list(taskinfoitems or ("exchange", "routing_key", "rate_limit"))
    return [
        _task_line(name, known, wanted)
        for name, known in sorted(desk.worker.tasks.items())
        if builtins or not name.startswith(built_in.PREFIXES)
    ]


def _task_line(name: str, known: Mapping[str, str], wanted: Iterable[str]) -> str:
    words = [f"{item}={known[item]}" for item in wanted if item in known]
    return f"{name} [{' '.join(words)}]" if words else name


def conf(desk: Desk, with_defaults: bool = False, **_: Any) -> Any:
    """Return the settings, without secrets: those that were changed, or all."""
    if with_defaults:
        return dict(desk.worker.settings)
    return showing.changed(desk.worker.settings, showing.settings_of(Settings()))


def active_queues(desk: Desk) -> Any:
    """List the queues that the worker claims from."""
    worker = desk.worker
    known = dict.fromkeys(listing.queue_names(worker.database))
    named = [each for each in worker.queues or () if not _is_pattern(each)]
    names = [name for name in dict.fromkeys([*named, *known]) if serves(worker, name)]
    return [_queue(name) for name in names]


def serves(worker: WorkerView, queue: str) -> bool:
    """Tell whether the worker claims from this queue; an exact name means itself."""
    if means(worker.excluded, queue):
        return False
    return worker.queues is None or means(worker.queues, queue)


def _is_pattern(text: str) -> bool:
    return any(letter in text for letter in "*?[")


def _queue(name: str) -> dict[str, Any]:
    """Return a queue in kombu's form: what a broker would need is what it would say by default."""
    exchange = {
        "name": "", "type": "direct", "arguments": None, "durable": True, "passive": False,
        "auto_delete": False, "delivery_mode": None, "no_declare": False,
    }  # fmt: skip
    return {
        "name": name, "exchange": exchange, "routing_key": name, "queue_arguments": None,
        "binding_arguments": None, "consumer_arguments": None, "durable": True,
        "exclusive": False, "auto_delete": False, "no_ack": False, "alias": None, "bindings": [],
        "no_declare": None, "expires": None, "message_ttl": None, "max_length": None,
        "max_length_bytes": None, "max_priority": None,
    }  # fmt: skip


def stats(desk: Desk, **_: Any) -> Any:
    """Return counts and figures of the worker."""
    worker, pool = desk.worker, desk.worker.pool
    pool_facts: dict[str, Any] = {
        "implementation": f"litequeue.worker.pools:{pool.name}",
        "max-concurrency": pool.concurrency,
        "processes": list(pool.pids),
        "max-tasks-per-child": pool.max_tasks_per_child or "N/A",
        "max-memory-per-child": pool.max_memory_per_child or "N/A",
        "timeouts": [pool.soft_time_limit or 0, pool.time_limit or 0],
    }
    facts: dict[str, Any] = {
        "total": dict(worker.totals),
        "pid": worker.pid,
        "clock": str(desk.number),
        "uptime": round(max(0.0, desk.now - worker.started)),
        "broker": {"transport": "sqlite", "hostname": worker.database.path},
        "prefetch_count": worker.prefetch,
        "pool": pool_facts,
        "rusage": _rusage(),
    }
    if pool.autoscale is not None:
        facts["autoscaler"] = {
            "current": pool.concurrency, "max": pool.autoscale[0], "min": pool.autoscale[1],
        }  # fmt: skip
    return facts


def _rusage() -> Any:
    try:
        import resource
    except ImportError:
        return "N/A"
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {name[3:]: getattr(used, name) for name in dir(used) if name.startswith("ru_")}


def report(desk: Desk, **_: Any) -> Any:
    """Describe the installation, for a report of a bug."""
    import platform

    import litequeue
    from litequeue.store import driver

    worker = desk.worker
    lines = [
        f"software -> litequeue:{litequeue.__version__} py:{platform.python_version()} "
        f"sqlite:{driver.VERSION}",
        f"platform -> system:{platform.system()} arch:{platform.machine()} "
        f"kernel version:{platform.release()} imp:{platform.python_implementation()}",
        f"file -> {worker.database.path}",
        f"pool -> {worker.pool.name} concurrency:{worker.pool.concurrency}",
        "",
        *showing.lines_of(showing.changed(worker.settings, showing.settings_of(Settings()))),
    ]
    return {"ok": "\n".join(lines)}


# Memory


def memsample(desk: Desk, **_: Any) -> Any:
    """Return the memory (RSS) of all processes of the worker, and keep the figure."""
    desk.samples.append(_memory(desk.worker))
    return _megabytes(desk.samples[-1])


def memdump(desk: Desk, samples: int = 10, **_: Any) -> Any:
    """Return the last figures of `memsample`, and one of now."""
    last = [*desk.samples][-samples:] if samples > 0 else []
    lines = ["- rss (samples):", *(f"-    > {_megabytes(each)}" for each in last)]
    return "\n".join([*lines, f"- rss (now): {_megabytes(_memory(desk.worker))}"])


def objgraph(desk: Desk, num: int = 200, max_depth: int = 10, type: str = "Request") -> Any:
    """Refuse: the process that answers holds no objects of user code."""
    raise Refused(
        "objgraph draws the objects of one process, and the one that answers runs no user code; "
        "call objgraph in a task"
    )


def _memory(worker: WorkerView) -> int:
    import psutil

    total = 0
    for pid in {os.getpid(), worker.pid, *worker.pool.pids}:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.Error:  # it has just left
            continue
    return total


def _megabytes(size: int) -> str:
    return f"{size / (1 << 20):.1f}MB"


ANSWERS: Final[Mapping[str, Callable[..., Any]]] = {
    answer.__name__: answer
    for answer in (
        active, active_queues, clock, conf, hello, memdump, memsample, objgraph, ping, query_task,
        registered, report, reserved, revoked, scheduled, stats,
    )
}  # fmt: skip
