"""What ``litequeue schedule`` prints: entries in lines, one in full, and their moments."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from litequeue.cli.output import (
    Cell,
    clean,
    decoded,
    iso,
    number,
    print_json,
    print_pairs,
    print_table,
    say,
    span,
    when,
)

if TYPE_CHECKING:
    from litequeue.entry import Entry
    from litequeue.schedules import Schedule
    from litequeue.schedules.zones import Zone
    from litequeue.store.entries import EntryRecord, TickRow

RUNS_SHOWN: Final = 5
TICKS_SHOWN: Final = 10


def print_entries(records: Sequence[EntryRecord], now: float, *, as_json: bool) -> None:
    """Print the entries, a line for each."""
    if as_json:
        print_json(entries=[entry_document(record) for record in records])
        return
    print_table(
        ("name", "schedule", "task", "next", "at", "last", "state", "drift", "count", "owner"),
        [
            (
                r.entry.name, in_words(r.entry), r.entry.task, _wait(r, now), _at(r),
                when(r.last_fired, now), r.last_state, span(drift(r)), r.count, owner_of(r),
            )
            for r in records
        ],
        empty="no entry yet: `litequeue schedule DB add` makes one, and so does code",
    )  # fmt: skip


def print_entry(
    record: EntryRecord, ticks: Sequence[TickRow], now: float, *, as_json: bool
) -> None:
    """Print everything about one entry."""
    schedule = read(record.entry)
    zone = zone_of(schedule)
    runs = [] if schedule is None else runs_of(record, now)
    if as_json:
        print_json(
            entry={
                **entry_document(record),
                **_more(record, now),
                "runs": [{"at": iso(run), "local": _local(run, zone)} for run in runs],
                "ticks": [_tick_document(tick) for tick in ticks],
            }
        )
        return
    print_pairs(_facts(record, now))
    _print_runs(record, runs, zone, now)
    _print_ticks(ticks, now)


def entry_document(record: EntryRecord) -> dict[str, Any]:
    """Return the entry as ``--json`` shows it in a list."""
    return {
        "name": record.entry.name,
        "schedule": in_words(record.entry),
        "task": record.entry.task,
        "queue": record.entry.queue,
        "owner": "file" if record.owner is None else "code",
        "app": record.owner or None,
        "paused": iso(record.paused),
        "next": None if record.paused is not None else iso(record.next_due),
        "last": iso(record.last_fired),
        "last_job": record.last_job,
        "last_state": record.last_state,
        "drift": number(drift(record)),
        "count": record.count,
    }


def announce(record: EntryRecord, done: str, now: float, *, as_json: bool) -> None:
    """Print "nightly added: crontab 0 3 * * * UTC; next 2030-01-01T03:00:00Z, in 5 h"."""
    if as_json:
        print_json(entry=entry_document(record))
        return
    at = _at(record)
    following = f"next {at}, {_wait(record, now)}" if at else _wait(record, now)
    say(f"{record.entry.name} {done}: {in_words(record.entry)}; {following}")


def in_words(entry: Entry) -> str:
    """Return the schedule as people read it; what is none, as it is."""
    schedule = read(entry)
    return entry.schedule if schedule is None else str(schedule)


def read(entry: Entry) -> Schedule | None:
    """Return the schedule, None for text that is none: who may write to the file, wrote it."""
    from litequeue.schedules import load

    try:
        return load(entry.schedule)
    except (LookupError, TypeError, ValueError):
        return None


def drift(record: EntryRecord) -> float | None:
    """Return how many seconds late the last run was sent."""
    if record.last_fired is None or record.last_due is None:
        return None
    return max(0.0, record.last_fired - record.last_due)


def owner_of(record: EntryRecord) -> str:
    """Return who defines the entry."""
    return "file" if record.owner is None else f"code of {record.owner}" if record.owner else "code"


def runs_of(record: EntryRecord, now: float) -> list[float]:
    """Return when the next runs are due (epoch seconds), as if a paused entry were resumed."""
    from litequeue.due import due, first

    entry, found, at = record.entry, [], now
    if record.paused is None and record.next_due is not None and record.next_due > now:
        found, at = [record.next_due], max(now, record.next_at or now)
    while len(found) < RUNS_SHOWN and (tick := first(entry, record.anchor, at)) is not None:
        found.append(due(entry, tick))
        at = tick.at
    return found


def overdue(record: EntryRecord, now: float) -> float | None:
    """Return since when (epoch seconds) a run is missed, None where none is."""
    if record.paused is not None or record.next_due is None or record.next_due > now:
        return None
    return record.next_due


# The lines of one entry


def _facts(record: EntryRecord, now: float) -> Iterator[tuple[str, Cell]]:
    entry = record.entry
    yield "name", entry.name
    yield "schedule", in_words(entry)
    yield "task", entry.task
    yield from _call(entry)
    yield "owner", owner_of(record)
    yield "queue", entry.queue
    yield "priority", entry.priority or None
    yield "expires", f"{span(entry.expires)} after it is sent" if entry.expires else None
    yield "misfire", _misfire(entry)
    yield "overlap", entry.overlap
    yield "jitter", span(entry.jitter or None)
    yield "start", iso(entry.start)
    yield "end", iso(entry.end)
    yield "options", entry.options
    yield "paused", when(record.paused, now)
    yield (
        "waiting",
        f"since {when(record.held_due, now)}, for the last run to end"
        if (record.held_due is not None)
        else None,
    )
    yield "overdue", when(overdue(record, now), now)
    yield "last", when(record.last_fired, now)
    yield "last job", f"{record.last_job} {record.last_state or ''}" if record.last_job else None
    yield "drift", span(drift(record))
    yield "count", record.count


def _misfire(entry: Entry) -> str:
    most = f", {entry.catch_up:,} at most" if entry.misfire == "all" else ""
    grace = f", {span(entry.grace)} late at most" if entry.grace is not None else ""
    return f"{entry.misfire}{most}{grace}"


def _call(entry: Entry) -> Iterator[tuple[str, Cell]]:
    """Yield the arguments as they are written in Python's calls."""
    found = arguments_of(entry)
    if found is None:
        yield "body", entry.body
        return
    args, kwargs = found
    yield "args", ", ".join(map(json.dumps, args))
    yield (
        "kwargs",
        ", ".join(f"{clean(name)}={json.dumps(value)}" for name, value in kwargs.items()),
    )


def arguments_of(entry: Entry) -> tuple[list[Any], dict[str, Any]] | None:
    """Return (args, kwargs) of a body that is plain JSON, None for another."""
    value, readable = decoded(entry.body)
    if not (readable and isinstance(value, list) and len(value) == 2):
        return None
    args, kwargs = value
    return (args, kwargs) if isinstance(args, list) and isinstance(kwargs, dict) else None


def _more(record: EntryRecord, now: float) -> dict[str, Any]:
    """Return what ``show --json`` has, and a list has not."""
    entry, found = record.entry, arguments_of(record.entry)
    return {
        "args": None if found is None else found[0],
        "kwargs": None if found is None else found[1],
        "body": entry.body if found is None else None,
        "options": decoded(entry.options)[0],
        "priority": entry.priority,
        "expires": number(entry.expires),
        "misfire": entry.misfire,
        "grace": number(entry.grace),
        "catch_up": entry.catch_up,
        "overlap": entry.overlap,
        "jitter": number(entry.jitter),
        "start": iso(entry.start),
        "end": iso(entry.end),
        "overdue": iso(overdue(record, now)),
        "held": iso(record.held_due),
        "created": iso(record.created),
    }


# Moments


def _wait(record: EntryRecord, now: float) -> str:
    """Say how long it is until the next run."""
    if record.paused is not None:
        return "paused"
    if record.next_due is None:
        return "never"
    left = record.next_due - now
    return f"in {span(left)}" if left > 0 else f"due {span(-left)} ago"


def _at(record: EntryRecord) -> str:
    """Return the moment of the next run, in UTC and whole seconds."""
    text = iso(record.next_due) if record.paused is None else None
    return "" if text is None else f"{text[:19]}Z"


def _print_runs(record: EntryRecord, runs: Sequence[float], zone: Zone | None, now: float) -> None:
    say("")
    say("next runs" if record.paused is None else "next runs, once it is resumed")
    if not runs:
        say("    never again")
    for run in runs:
        local = _local(run, zone)
        told = "" if local is None else f"{local}  "
        say(f"    {told}{(iso(run) or '')[:19]}Z  in {span(run - now)}")


def zone_of(schedule: Schedule | None) -> Zone | None:
    """Return the zone that a schedule is said in, None where that is UTC or means nothing."""
    from litequeue.schedules.zones import zone_named

    name = getattr(schedule, "zone", None)
    return None if name in (None, "UTC") else zone_named(name)


def _local(moment: float, zone: Zone | None) -> str | None:
    """Return a moment as the clocks of ``zone`` show it."""
    if zone is None:
        return None
    there = timezone(timedelta(seconds=zone.offset_at(math.floor(moment))))
    return datetime.fromtimestamp(moment, there).isoformat(timespec="seconds")


# The last ticks


def _print_ticks(ticks: Sequence[TickRow], now: float) -> None:
    if not ticks:
        return
    say("")
    print_table(
        ("tick", "sent", "drift", "job", "state", "note"),
        [
            (
                tick.key if tick.note != "manual" else "", when(tick.fired, now),
                span(_late(tick)), tick.job, tick.state, tick.note,
            )
            for tick in ticks
        ],
    )  # fmt: skip


def _late(tick: TickRow) -> float:
    return max(0.0, tick.fired - tick.due)


def _tick_document(tick: TickRow) -> dict[str, Any]:
    return {
        "key": tick.key,
        "at": iso(tick.at),
        "due": iso(tick.due),
        "fired": iso(tick.fired),
        "drift": number(_late(tick)),
        "job": tick.job,
        "state": tick.state,
        "note": tick.note,
    }
