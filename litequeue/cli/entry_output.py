"""What ``litequeue schedule`` prints: entries in lines, one in full, and their moments."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from litequeue.cli.entry_facts import (
    arguments_of,
    drift,
    grace_of,
    has_left_out,
    in_words,
    options_of,
    overdue,
    owner_of,
    read,
    runs_of,
    unreadable,
    zone_of,
)
from litequeue.cli.output import (
    Cell,
    clean,
    iso,
    number,
    print_json,
    print_pairs,
    print_table,
    say,
    span,
    when,
)
from litequeue.states import LEASED, PARKED

if TYPE_CHECKING:
    from litequeue.entry import Entry
    from litequeue.schedules.zones import Zone
    from litequeue.store.entries import EntryRecord, TickRow
    from litequeue.store.listing import JobRow

TICKS_SHOWN: Final = 10
_FRACTION: Final = re.compile(r"(\.\d{3})\d*")


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
        spare=("at", "count", "drift", "owner", "task", "last", "state"),
        shrinks=("schedule",),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blocking:
    """The run that keeps an entry from being sent, and what to type against it."""

    job: JobRow
    how: str


def print_entry(
    record: EntryRecord,
    ticks: Sequence[TickRow],
    now: float,
    *,
    blocking: Blocking | None,
    as_json: bool,
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
                "blocked_by": None if blocking is None else blocking.job.id,
                "runs": [{"at": iso(run), "local": _local(run, zone)} for run in runs],
                "ticks": [_tick_document(tick) for tick in ticks],
            }
        )
        return
    print_pairs(_facts(record, now, blocking))
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


# The lines of one entry


def _facts(
    record: EntryRecord, now: float, blocking: Blocking | None
) -> Iterator[tuple[str, Cell]]:
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
    said = options_of(entry)
    yield "options", said if said is None or isinstance(said, str) else json.dumps(said)
    yield "paused", when(record.paused, now)
    yield (
        "waiting",
        f"since {when(record.held_due, now)}, for the last run to end"
        if (record.held_due is not None)
        else None,
    )
    yield "blocked", _blocked(blocking, now)
    yield "overdue", when(overdue(record, now), now)
    yield "last", when(record.last_fired, now)
    yield "last job", f"{record.last_job} {record.last_state or ''}" if record.last_job else None
    yield "drift", span(drift(record))
    yield "count", record.count


def _blocked(blocking: Blocking | None, now: float) -> str | None:
    if blocking is None:
        return None
    job = blocking.job
    words = {PARKED: "parked", LEASED: "running"}
    since = when(job.started if job.phase == LEASED else job.created, now)
    told = f"{words.get(job.phase, 'waiting')} since {since}"
    return f"by job {job.id}, {told}; `{blocking.how}` frees it"


def _misfire(entry: Entry) -> str:
    most = f", {entry.catch_up:,} at most" if entry.misfire == "all" else ""
    grace = grace_of(entry)
    return f"{entry.misfire}{most}{'' if grace is None else f', at most {span(grace)} late'}"


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


def _more(record: EntryRecord, now: float) -> dict[str, Any]:
    """Return what ``show --json`` has, and a list has not."""
    entry, found = record.entry, arguments_of(record.entry)
    return {
        "args": None if found is None else found[0],
        "kwargs": None if found is None else found[1],
        "body": entry.body if found is None else None,
        "options": options_of(entry),
        "priority": entry.priority,
        "expires": number(entry.expires),
        "misfire": entry.misfire,
        "grace": number(grace_of(entry)),
        "catch_up": entry.catch_up,
        "overlap": entry.overlap,
        "jitter": number(entry.jitter),
        "start": iso(entry.start),
        "end": iso(entry.end),
        "unreadable": unreadable(entry),
        "overdue": iso(overdue(record, now)),
        "held": iso(record.held_due),
        "created": iso(record.created),
    }


# Moments


def _wait(record: EntryRecord, now: float) -> str:
    """Say how long it is until the next run, and what may keep it from being sent."""
    if record.paused is not None:
        return "paused"
    if unreadable(record.entry) is not None:
        return "unreadable"
    if record.next_due is None:
        return "done" if record.count else "never"
    left = record.next_due - now
    blocked = ", blocked" if has_left_out(record) else ""
    return (f"in {span(left)}" if left > 0 else f"due {span(-left)} ago") + blocked


def _at(record: EntryRecord) -> str:
    """Return the moment of the next run."""
    return _moment(record.next_due) if record.paused is None else ""


def _moment(moment: float | None) -> str:
    """Return a moment in UTC, with milliseconds where there are any."""
    return _trimmed(iso(moment) or "")


def _trimmed(moment: str) -> str:
    """Return a moment without what is less than a millisecond, or only zeros."""
    return _FRACTION.sub(lambda found: found[1].removesuffix(".000"), moment)


def _print_runs(record: EntryRecord, runs: Sequence[float], zone: Zone | None, now: float) -> None:
    say("")
    say("next runs" if record.paused is None else "next runs, once it is resumed")
    why = unreadable(record.entry)
    if why is not None:
        say(f"    unreadable: {why}")
    elif not runs:
        say("    never again")
    for run in runs:
        local = _local(run, zone)
        told = "" if local is None else f"{local}  "
        say(f"    {told}{_moment(run)}  in {span(run - now)}")


def _local(moment: float, zone: Zone | None) -> str | None:
    """Return a moment as the clocks of ``zone`` show it."""
    if zone is None:
        return None
    there = timezone(timedelta(seconds=zone.offset_at(math.floor(moment))))
    return _trimmed(datetime.fromtimestamp(moment, there).isoformat())


# The last ticks


def _print_ticks(ticks: Sequence[TickRow], now: float) -> None:
    if not ticks:
        return
    say("")
    print_table(
        ("tick", "sent", "drift", "job", "state", "note"),
        [
            (
                _key(tick), when(tick.fired, now),
                span(_late(tick)), tick.job, tick.state, tick.note,
            )
            for tick in ticks
        ],
        spare=("sent", "drift"),
        shrinks=("tick",),
    )  # fmt: skip


def _key(tick: TickRow) -> str:
    """Return which moment a tick is for, as all moments are printed."""
    if tick.note == "manual":
        return ""
    return _trimmed(tick.key)


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
