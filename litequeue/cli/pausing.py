"""``litequeue pause`` and ``resume``: whether the jobs of a queue are started."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from litequeue.cli.output import note, print_json, say
from litequeue.cli.parameters import Command, Name, database_argument, json_option
from litequeue.cli.queue_file import check_queues, opened
from litequeue.cli.selection import split
from litequeue.clock import SYSTEM

F = TypeVar("F", bound=Callable[..., Any])


def _queues(function: F) -> F:
    """Add QUEUE..."""
    argument = click.argument("names", nargs=-1, required=True, type=Name(), metavar="QUEUE...")
    return argument(function)


@click.command(cls=Command, example="litequeue pause jobs.sqlite mail")
@database_argument
@_queues
@json_option
def pause(db: str, names: tuple[str, ...], as_json: bool) -> int:
    """Have no more jobs of a queue started.

    What runs may end, and jobs are still accepted.  A queue may be paused before its first job.
    """
    from litequeue.store import listing, queues

    wanted = split(names)
    with opened(db) as database:
        known = listing.queue_names(database)
        changed = [name for name in wanted if queues.pause(database, name, SYSTEM.now())]
    for name in wanted:
        if name not in known:
            note(f"litequeue: no job was ever sent to the queue {name!r}; it is paused all "
                 "the same")  # fmt: skip
    return _say(wanted, changed, "paused", as_json=as_json)


@click.command(cls=Command, example="litequeue resume jobs.sqlite mail")
@database_argument
@_queues
@json_option
def resume(db: str, names: tuple[str, ...], as_json: bool) -> int:
    """Have the jobs of a paused queue started again."""
    from litequeue.store import queues
    from litequeue.store.wakeup import Ringer

    wanted = split(names)
    with opened(db) as database:
        check_queues(database, wanted)
        changed = [name for name in wanted if queues.resume(database, name)]
        ringer = Ringer(database.path, SYSTEM)
        ringer.ring_workers()
        ringer.close()
    return _say(wanted, changed, "resumed", as_json=as_json)


def _say(wanted: tuple[str, ...], changed: list[str], done: str, *, as_json: bool) -> int:
    if as_json:
        print_json(queues=list(wanted), changed=changed)
        return 0
    for name in wanted:
        if name in changed:
            say(f"{name} {done}")
        else:
            was = "is paused already" if done == "paused" else "is not paused"
            note(f"litequeue: the queue {name!r} {was}")
    return 0
