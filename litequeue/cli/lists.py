"""``litequeue queues``, ``tasks`` and ``workers``: what is in a file, with counts."""

from __future__ import annotations

from typing import Final

import click

from litequeue.cli.output import breakdown, iso, number, print_json, print_table, span, when
from litequeue.cli.parameters import Command, database_argument, json_option
from litequeue.cli.queue_file import lives, opened
from litequeue.clock import SYSTEM

DAY: Final = 86_400.0


@click.command(cls=Command, example="litequeue queues jobs.sqlite")
@database_argument
@json_option
def queues(db: str, as_json: bool) -> None:
    """List the queues and what waits in them.

    Waiting: may run now.  Scheduled: later.  Blocked: after others of its workflow.  Parked: no
    worker knew the task.  Paused: since when no job of the queue is started.
    """
    from litequeue.store import listing

    with opened(db) as database:
        found = listing.queues(database)
    now = SYSTEM.now()
    oldest = {q.name: None if q.due_since is None else max(0.0, now - q.due_since) for q in found}
    if as_json:
        print_json(
            queues=[
                {
                    "name": queue.name,
                    "waiting": queue.ready,
                    "scheduled": queue.scheduled,
                    "blocked": queue.waiting,
                    "parked": queue.parked,
                    "running": queue.leased,
                    "oldest_wait": number(oldest[queue.name]),
                    "paused": iso(queue.paused),
                }
                for queue in found
            ]
        )
        return
    print_table(
        ("queue", "waiting", "scheduled", "blocked", "parked", "running", "oldest wait", "paused"),
        [
            (
                q.name, q.ready, q.scheduled, q.waiting, q.parked, q.leased,
                span(oldest[q.name]), when(q.paused, now),
            )
            for q in found
        ],
        empty="no queue yet: the first job makes one",
        spare=("oldest wait", "scheduled", "blocked"),
    )  # fmt: skip


@click.command(cls=Command, example="litequeue tasks jobs.sqlite")
@database_argument
@json_option
def tasks(db: str, as_json: bool) -> None:
    """List the tasks that can be sent.

    With each the jobs of the last day, by state.
    """
    from litequeue.store import listing

    now = SYSTEM.now()
    with opened(db) as database:
        found = listing.tasks(database, now - DAY)
    if as_json:
        print_json(
            tasks=[
                {
                    "name": task.name,
                    "signature": task.signature,
                    "summary": task.summary,
                    "queue": task.queue,
                    "app": task.app,
                    "seen": iso(task.seen),
                    "last_day": dict(task.states),
                }
                for task in found
            ]
        )
        return
    print_table(
        ("task", "last day", "queue", "summary"),
        [(f"{t.name}{t.signature}", breakdown(t.states), t.queue, t.summary) for t in found],
        empty="no task is recorded yet: the first delay() or worker of an app does that",
        spare=("summary", "queue"),
        shrinks=("last day", "task"),
    )


@click.command(cls=Command, example="litequeue workers jobs.sqlite")
@database_argument
@json_option
def workers(db: str, as_json: bool) -> None:
    """List the workers, and say which are alive.

    A worker that is known to be dead is buried by the next one that runs; one that is unseen is
    on another machine or in another container, and has been silent for long.
    """
    from litequeue.store import listing
    from litequeue.store import workers as registered

    now = SYSTEM.now()
    with opened(db) as database:
        found = registered.owners(database)
        held = listing.leased_by_worker(database)
        life = {worker.id: lives(database, worker).value for worker in found}
    if as_json:
        print_json(
            workers=[
                {
                    "name": worker.identity.name,
                    "pid": worker.identity.pid,
                    "life": life[worker.id],
                    "started": iso(worker.started),
                    "heartbeat": iso(worker.heartbeat),
                    "running": held.get(worker.id, 0),
                }
                for worker in found
            ]
        )
        return
    print_table(
        ("worker", "pid", "life", "started", "heartbeat", "running"),
        [
            (
                w.identity.name, w.identity.pid, life[w.id], when(w.started, now),
                when(w.heartbeat, now), held.get(w.id, 0),
            )
            for w in found
        ],
        empty="no worker is registered",
        spare=("started", "heartbeat"),
    )  # fmt: skip
