"""What a worker does on ``control`` commands.  Names, arguments and replies are Celery's."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from litequeue.job import stamps_of
from litequeue.worker.answers import complete
from litequeue.worker.worker_view import Desk, Refused

logger: Final = logging.getLogger("litequeue.worker")

Texts = str | Sequence[str]


def ok(text: str) -> dict[str, str]:
    """Return an answer that all is well."""
    return {"ok": text}


# Jobs.  The revocation is in the file by now, for all workers: what is left to do is to tell.


def revoke(
    desk: Desk, task_id: Texts, terminate: bool = False, signal: object = None, **_: Any
) -> Any:
    """Say which of the revoked jobs run here, if they are to be terminated."""
    ids = _list(task_id)
    if not terminate:
        return ok(f"tasks {', '.join(ids)} flagged as revoked")
    wanted = set(ids)
    ended = [run.lease.id for run in desk.worker.runs() if run.lease.id in wanted]
    return ok(f"terminate: {', '.join(ended) or 'tasks unknown'}")


def terminate(desk: Desk, task_id: Texts, signal: object = None, **_: Any) -> Any:
    """Say which of the jobs run here."""
    return revoke(desk, task_id, terminate=True)


def revoke_by_stamped_headers(
    desk: Desk,
    headers: Mapping[str, Texts],
    terminate: bool = False,
    signal: object = None,
    **_: Any,
) -> Any:
    """Say which stamps of the revoked ones jobs carry that run here."""
    if not terminate:
        return ok(f"headers {_said(headers)} flagged as revoked, but not terminated")
    found: dict[str, list[str]] = {}
    for lease in complete(desk.worker, [run.lease for run in desk.worker.runs()]):
        stamps = stamps_of(lease.options)
        for header, values in headers.items():
            carried = stamps.get(header, frozenset()).intersection(_list(values))
            found.setdefault(header, []).extend(sorted(carried))
    found = {header: values for header, values in found.items() if values}
    if not found:
        return ok(f"headers {_said(headers)} were not terminated")
    return ok(f"headers {_said(found)} revoked")


def _said(headers: Mapping[str, Texts]) -> str:
    return ", ".join(f"{header}={value}" for header in headers for value in _list(headers[header]))


def rate_limit(desk: Desk, task_name: str, rate_limit: object, **_: Any) -> Any:
    """Refuse: there are no rate limits yet."""
    raise Refused("rate limits of tasks are not built yet")


def time_limit(
    desk: Desk,
    task_name: str,
    hard: float | None = None,
    soft: float | None = None,
    **_: Any,
) -> Any:
    """Have later jobs of a task these limits (seconds); None takes a limit away."""
    if task_name not in desk.worker.tasks:
        raise Refused("unknown task")
    for name, value in (("soft", soft), ("hard", hard)):
        if value is not None and not _is_seconds(value):
            raise Refused(f"the {name} time limit is a number of seconds above 0, not {value!r}")
    if soft is not None and hard is not None and soft > hard:
        raise Refused(f"the soft time limit, {soft:g}, is above the hard one, {hard:g}")
    desk.worker.limit_time(task_name, soft, hard)
    logger.info("new time limits for %s: soft=%s hard=%s", task_name, soft, hard)
    return ok("time limits set successfully")


def _is_seconds(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 < value < math.inf  # type: ignore[operator]  # a number, as was just seen


# Events


def enable_events(desk: Desk) -> Any:
    """Have events of jobs written."""
    if desk.worker.sends_events:
        return ok("task events already enabled")
    desk.worker.send_events(True)
    return ok("task events enabled")


def disable_events(desk: Desk) -> Any:
    """Have events of jobs written no more."""
    if not desk.worker.sends_events:
        return ok("task events already disabled")
    desk.worker.send_events(False)
    return ok("task events disabled")


def heartbeat(desk: Desk) -> Any:
    """Write a worker-heartbeat event now."""
    desk.worker.send_heartbeat()


def election(desk: Desk, id: str, topic: str, action: object = None, **_: Any) -> Any:
    """Refuse: the write lock of the file decides what one of many workers does."""
    raise Refused("the workers of a file elect nobody: the file decides who does what")


# The pool


def pool_grow(desk: Desk, n: int = 1, **_: Any) -> Any:
    """Have ``n`` more jobs run at once."""
    _resize(desk, n, 1, "pool_grow")
    return ok("pool will grow")


def pool_shrink(desk: Desk, n: int = 1, **_: Any) -> Any:
    """Have ``n`` jobs fewer run at once, when what runs has ended."""
    _resize(desk, n, -1, "pool_shrink")
    return ok("pool will shrink")


def _resize(desk: Desk, n: int, sign: int, command: str) -> None:
    pool = desk.worker.pool
    if pool.autoscale is not None:
        raise Refused(f"{command} is not supported with autoscale. Adjust autoscale range instead.")
    if "concurrency" not in pool.honours:
        raise Refused(f"the pool {pool.name} cannot change its size")
    if type(n) is not int or n < 1:
        raise Refused(f"{command} takes a number above 0, not {n!r}")
    if not 1 <= pool.concurrency + sign * n <= (pool.most or math.inf):
        raise Refused(
            f"the pool runs {pool.concurrency} at once, and may run 1 to {pool.most or 'any'}"
        )
    desk.worker.resize_pool(sign * n)


def pool_restart(
    desk: Desk,
    modules: Sequence[str] | None = None,
    reload: bool = False,
    reloader: object = None,
    **_: Any,
) -> Any:
    """Replace the children; with ``reload`` the app is imported anew, as on HUP."""
    if modules or reloader is not None:
        raise Refused(
            "single modules are not reloaded: pool_restart with reload=True imports all anew"
        )
    desk.worker.restart_pool(reload=bool(reload))
    return ok("reload started")


def autoscale(desk: Desk, max: int | None = None, min: int | None = None) -> Any:
    """Keep the pool to this range; what is not said stays."""
    now = desk.worker.pool.autoscale
    if now is None:
        raise Refused("Autoscale not enabled: start the worker with --autoscale MAX,MIN")
    most, least = now[0] if max is None else max, now[1] if min is None else min
    if not (type(most) is type(least) is int and 1 <= least <= most):
        raise Refused(f"autoscale takes two numbers, max >= min >= 1, not {most!r} and {least!r}")
    desk.worker.autoscale(most, least)
    return ok(f"autoscale now max={most} min={least}")


def shutdown(desk: Desk, msg: str = "Got shutdown from remote", **_: Any) -> Any:
    """Stop warmly: what runs may end."""
    logger.warning("%s", msg)
    desk.worker.shut_down()
    return ok("shutdown started")


# Queues


def add_consumer(
    desk: Desk,
    queue: str,
    exchange: str | None = None,
    exchange_type: str | None = None,
    routing_key: str | None = None,
    **_: Any,
) -> Any:
    """Claim from this queue, too.  The rest is of no use: who sends a job routes it."""
    desk.worker.add_queue(_queue(queue))
    return ok(f"add consumer {queue}")


def cancel_consumer(desk: Desk, queue: str, **_: Any) -> Any:
    """Claim from this queue no more."""
    desk.worker.cancel_queue(_queue(queue))
    return ok(f"no longer consuming from {queue}")


def _queue(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise Refused(f"a queue is named by a text, not {name!r}")
    return name


def _list(texts: Texts | None) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts or ())


ORDERS: Final[Mapping[str, Callable[..., Any]]] = {
    order.__name__: order
    for order in (
        add_consumer, autoscale, cancel_consumer, disable_events, election, enable_events,
        heartbeat, pool_grow, pool_restart, pool_shrink, rate_limit, revoke,
        revoke_by_stamped_headers, shutdown, terminate, time_limit,
    )
}  # fmt: skip
