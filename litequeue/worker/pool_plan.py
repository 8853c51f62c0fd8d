"""Which pool a worker has, how large it is, and how its children are made."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from typing import Any, Final

from litequeue.app import LiteQueue
from litequeue.config import Settings
from litequeue.exceptions import ImproperlyConfigured
from litequeue.worker.pools import Pool, Recycling, find_pool, refuse_unhonoured
from litequeue.worker.slots import CAPACITY, MOST_LINES, Slots

logger: Final = logging.getLogger("litequeue.worker")

ROOM_TO_GROW: Final = 1000
"""Jobs at once by which a pool of many lines per child may grow."""
GENERATIONS: Final = 4
"""Children of many lines that there may be: one that works, and those that replace or leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """A pool, for so many jobs ``at_once`` to begin with, and at ``most``.

    ``autoscale`` is (most, least), where the size is to follow the work.
    """

    pool: type[Pool]
    at_once: int
    most: int
    autoscale: tuple[int, int] | None

    def lay_out(self, slots: Slots) -> None:
        """Make room for the children."""
        if self.pool.many:
            slots.lay_out(children=GENERATIONS, per_child=self.most)
        else:  # as many again may be on their way in or out, and remote control may want more
            slots.lay_out(children=min(CAPACITY, 2 * self.most + 16), per_child=1)
        slots.count = self.at_once


def plan_pool(conf: Settings, autoscale: tuple[int, int] | None) -> PoolPlan:
    """Choose the pool; raises `ImproperlyConfigured` for what it cannot honour."""
    pool = find_pool(conf.worker_pool)
    many = conf.worker_concurrency > 1
    refuse_unhonoured(pool, {**limits_of(conf), "autoscale": autoscale, "concurrency": many})
    count = conf.worker_concurrency or os.cpu_count() or 1
    if "concurrency" not in pool.honours:
        return PoolPlan(pool=pool, at_once=1, most=1, autoscale=None)
    if autoscale is not None:
        most, least = autoscale
        return PoolPlan(pool=pool, at_once=max(1, least), most=most, autoscale=autoscale)
    most = min(count + ROOM_TO_GROW, MOST_LINES) if pool.many else count
    return PoolPlan(pool=pool, at_once=count, most=most, autoscale=None)


def limits_of(conf: Settings) -> dict[str, Any]:
    """Return the limits of jobs and of children that settings say, by the names of `OPTIONS`."""
    return {
        "soft_time_limit": conf.task_soft_time_limit,
        "time_limit": conf.task_time_limit,
        "max_tasks_per_child": conf.worker_max_tasks_per_child,
        "max_memory_per_child": conf.worker_max_memory_per_child,
    }


def facts_of(
    pool: type[Pool],
    conf: Settings,
    *,
    started: float,
    autoscale: tuple[int, int] | None = None,
) -> dict[str, Any]:
    """Return what people may ask of a pool, as JSON can hold it."""
    return {
        "pool": pool.name,
        "honours": sorted(pool.honours),
        "started": started,
        "autoscale": autoscale,
        "autoscale_keepalive": conf.worker_autoscale_keepalive,
        **limits_of(conf),
    }


def recycling_of(conf: Settings) -> Recycling:
    """Return when children are replaced."""
    return Recycling(
        tasks=conf.worker_max_tasks_per_child or 0,
        memory=(conf.worker_max_memory_per_child or 0) * 1024,
    )


def start_method(app: LiteQueue, pool: type[Pool], app_name: str) -> str:
    """Return how to make children: as was asked, or by fork unless that is unsafe here.

    Raises `ImproperlyConfigured` for a way that the pool does not know.
    """
    wanted = app.conf.worker_pool_start_method
    if wanted and wanted not in pool.start_methods:
        raise ImproperlyConfigured(
            f"the pool {pool.name} cannot start its children by {wanted}; leave that out, or use "
            f"one of {', '.join(pool.start_methods)}"
        )
    if wanted or pool.start_methods[0] != "fork":
        return wanted or pool.start_methods[0]
    app.close()
    threads = [t.name for t in threading.enumerate() if t is not threading.main_thread()]
    left = [f"thread {name}" for name in threads] + open_handles(app.path)
    if left:
        logger.warning(
            "importing %s left behind %s, which no fork may copy: children are started as new "
            "programs",
            app_name, ", ".join(left),
        )  # fmt: skip
    return "spawn" if left else "fork"


def open_handles(path: str) -> list[str]:
    """Return the queue file and its companions, as far as this process has them open (Linux)."""
    names = [path, path + "-wal", path + "-shm"]
    try:
        descriptors = os.listdir("/proc/self/fd")
    except OSError:
        return []
    found = set()
    for descriptor in descriptors:
        try:
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        except OSError:
            continue  # the descriptor of the listing itself
    return [name for name in names if os.path.realpath(name) in found]
