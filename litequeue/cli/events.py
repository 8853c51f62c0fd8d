"""``litequeue events``: what workers and programs have reported, and what they report now."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import click

from litequeue.cli import pyproject
from litequeue.cli.output import MOST_CELL, Cell, iso, note, print_json, print_table, say, when
from litequeue.cli.parameters import Command, Duration, Name, database_argument, json_option
from litequeue.cli.queue_file import opened
from litequeue.clock import SYSTEM, Clock

if TYPE_CHECKING:
    from litequeue.store import Store

_NOT_SHOWN: Final = frozenset(
    {
        "clock", "hostname", "local_received", "pid", "sw_ident", "sw_sys", "sw_ver", "timestamp",
        "traceback", "type", "utcoffset", "uuid",
    }
)  # fmt: skip


@dataclass(slots=True)
class _Reader:
    """What following events needs, without an app."""

    store: Store
    clock: Clock


@click.command(cls=Command, example="litequeue events jobs.sqlite --follow --type task-failed")
@database_argument
@click.option("-f", "--follow", is_flag=True, help="Show events as they come, until Ctrl-C.")
@click.option("--type", "types", multiple=True, type=Name(), metavar="TYPE",
              help="Only of this type, such as task-failed; may be repeated.")  # fmt: skip
@click.option("--limit", type=click.IntRange(0, 1_000_000),
              help="How many of the stored ones at most: 50, or none with --follow.")  # fmt: skip
@click.option("--timeout", type=Duration(),
              help="With --follow: stop after so long without an event.")  # fmt: skip
@json_option
def events(
    db: str,
    follow: bool,
    types: tuple[str, ...],
    limit: int | None,
    timeout: float | None,
    as_json: bool,
) -> None:
    """Show what was reported, the last event last.

    Workers report when they are started with -E, or told to by enable_events.  With --follow and
    --json every event is one line of JSON.
    """
    if timeout is not None and not follow:
        raise click.UsageError("--timeout is for --follow, which would wait for ever")
    from litequeue.store import Store
    from litequeue.store import events as stored

    with opened(db) as database:
        stored.last(database)  # raises where there is no file; the next one would make it
    store = Store(db, pyproject.settings())
    try:
        reader = _Reader(store, SYSTEM)
        wanted = types or None
        if follow:
            _say_if_nobody_reports(reader)
            _follow(reader, wanted, limit=limit or 0, timeout=timeout, as_json=as_json)
        else:
            _list(reader, wanted, limit=50 if limit is None else limit, as_json=as_json)
    finally:
        store.close()


def _say_if_nobody_reports(reader: _Reader) -> None:
    """Say how to have events, where none was ever stored: one would wait for ever."""
    if not reader.store.last_event():
        note("litequeue: no event was ever stored; start the worker with -E, or say "
             f"`litequeue control {reader.store.database.path} enable_events`")  # fmt: skip


def _list(reader: _Reader, types: tuple[str, ...] | None, *, limit: int, as_json: bool) -> None:
    found, _ = _stored(reader, types, limit)
    if as_json:
        print_json(events=[_document(event) for event in found])
        return
    now = SYSTEM.now()
    print_table(
        ("at", "type", "job", "worker", "what"),
        ((when(event["timestamp"], now), *_cells(event)) for event in found),
        empty="no event is stored: start the worker with -E",
        spare=("worker", "at"),
        shrinks=("what",),
    )


def _follow(
    reader: _Reader,
    types: tuple[str, ...] | None,
    *,
    limit: int,
    timeout: float | None,
    as_json: bool,
) -> None:
    from litequeue.events.receiver import follow

    found, last = _stored(reader, types, limit)
    for event in chain(found, follow(reader, types, after=last, timeout=timeout)):
        if as_json:
            click.echo(json.dumps(_document(event)), color=False)
        else:
            at = iso(event["timestamp"]) or ""
            say("  ".join(str(cell) for cell in (at, *_cells(event)) if cell))


def _stored(
    reader: _Reader, types: tuple[str, ...] | None, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """Return the last events that are stored, and the number of the very last one."""
    from litequeue.events.receiver import follow

    last = reader.store.last_event()
    if not limit:
        return [], last
    after = 0 if types else max(0, last - limit)
    found = deque(follow(reader, types, after=after, live=False), maxlen=limit)
    return list(found), max([last, *(event["clock"] for event in found)])


def _cells(event: dict[str, Any]) -> tuple[Cell, ...]:
    return event["type"], event.get("uuid"), event["hostname"], " ".join(_rest(event))[:MOST_CELL]


def _rest(event: dict[str, Any]) -> Iterator[str]:
    for name, value in event.items():
        if name not in _NOT_SHOWN and value not in (None, ""):
            yield f"{name}={value}"


def _document(event: dict[str, Any]) -> dict[str, Any]:
    return {**event, "at": iso(event["timestamp"])}
