"""What the supervisor tells of an app and of its pool, as plain data."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from litequeue import signals
from litequeue.app import LiteQueue
from litequeue.config import Settings
from litequeue.periodic import MOST_ARGUMENTS
from litequeue.task import Task
from litequeue.worker import link as messages
from litequeue.worker import showing
from litequeue.worker.link import Manifest


def manifest_of(app: LiteQueue, pool: dict[str, Any]) -> Manifest:
    """Return what the consumer must know of an app; ``pool`` are facts for people."""
    conf, tasks = app.conf, app.tasks
    shown = {name: showing.attributes_of(task) for name, task in sorted(tasks.items())}
    return Manifest(
        tasks=tuple(tasks),
        kinds=tuple(map(_kind, tasks.values())),
        limits=tuple(limits_of(task, conf) for task in tasks.values()),
        listens=tuple(signals.connected()),
        conf=json.dumps(showing.settings_of(conf)),
        facts=json.dumps({**pool, "tasks": shown}),
        events=conf.worker_send_task_events,
        controlled=conf.worker_enable_remote_control,
        event_ring_size=conf.event_ring_size,
        max_deliveries=conf.task_max_deliveries,
        result_expires=conf.result_expires,
        result_failure_expires=conf.result_failure_expires,
        visibility_timeout=conf.visibility_timeout,
        durability=conf.durability,
        sent_events=conf.task_send_sent_event,
        beat_sleep=conf.beat_max_loop_interval,
    )


def _kind(task: Task[..., Any]) -> int:
    return (
        (0 if task.acks_late else messages.ONCE)
        | (0 if task.reject_on_worker_lost else messages.FRAGILE)
        | (0 if task.track_started else messages.UNTRACKED)
        | (messages.HOOKED if task.hooks & {"on_failure", "after_return"} else 0)
        | (0 if task.send_events else messages.SILENT)
    )


def limits_of(task: Task[..., Any], conf: Settings) -> tuple[float | None, float | None]:
    """Return a task's soft and hard time limit: its own, or the worker's."""
    soft, hard = task.soft_time_limit, task.time_limit
    return (
        conf.task_soft_time_limit if soft is None else soft,
        conf.task_time_limit if hard is None else hard,
    )


def warm_up(app: LiteQueue) -> None:
    """Load before the fork what every child would load by itself at its first job."""
    body = app.codec.dumps_arguments((), {}, limit=MOST_ARGUMENTS)
    app.codec.loads_arguments(body)
    for task in app.tasks.values():
        with contextlib.suppress(ValueError):  # a task's own affair, when it runs
            app.types.fit(task.run, (), {})
