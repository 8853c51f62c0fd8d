"""What ``litequeue schedule`` tells of an entry, worked out from its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litequeue.cli.output import decoded
from litequeue.states import READY_STATES

if TYPE_CHECKING:
    from litequeue.entry import Entry
    from litequeue.schedules import Schedule
    from litequeue.schedules.zones import Zone
    from litequeue.store.entries import EntryRecord

RUNS_SHOWN: Final = 5
LATE: Final = 1.0
"""Seconds after which a run that is due is one that nobody sends."""
VERY_LATE: Final = 10.0
"""The same while a worker is alive: it may be busy, or import its app."""


def in_words(entry: Entry) -> str:
    """Return the schedule as people read it; what is none, as it is."""
    schedule = read(entry)
    return entry.schedule if schedule is None else str(schedule)


def read(entry: Entry) -> Schedule | None:
    """Return the schedule, None for text that is none: who may write to the file, wrote it."""
    return _read(entry)[0]


def unreadable(entry: Entry) -> str | None:
    """Say why the schedule cannot be read here; None where it can."""
    return _read(entry)[1]


def _read(entry: Entry) -> tuple[Schedule | None, str | None]:
    from litequeue.schedules import load

    try:
        return load(entry.schedule), None
    except (LookupError, TypeError, ValueError) as error:
        return None, str(error)


def drift(record: EntryRecord) -> float | None:
    """Return how many seconds late the last run was sent."""
    if record.last_fired is None or record.last_due is None:
        return None
    return max(0.0, record.last_fired - record.last_due)


def may_be_blocked(record: EntryRecord) -> bool:
    """Tell whether the last run, while it has not ended, keeps the next one from being sent."""
    return (
        record.entry.overlap in ("skip", "queue")
        and record.last_state is not None
        and record.last_state not in READY_STATES
    )


def has_left_out(record: EntryRecord) -> bool:
    """Tell whether a run was due and not sent, because the last one has not ended."""
    from litequeue.due import first

    if not may_be_blocked(record) or record.last_at is None or record.next_at is None:
        return False
    if record.held_due is not None:
        return True
    following = first(record.entry, record.anchor, record.last_at)
    return following is not None and following.at < record.next_at


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


def grace_of(entry: Entry) -> float | None:
    """Return how many seconds late a run is sent at most, None for however late."""
    if entry.grace is None and entry.misfire == "skip":
        from litequeue.beat.plan import ON_TIME

        return ON_TIME
    return entry.grace


def options_of(entry: Entry) -> Any:
    """Return what the jobs keep of their call, without the name of the entry."""
    said, _ = decoded(entry.options)
    if not isinstance(said, dict):
        return said
    return {name: value for name, value in said.items() if name != "entry"} or None


def arguments_of(entry: Entry) -> tuple[list[Any], dict[str, Any]] | None:
    """Return (args, kwargs) of a body that is plain JSON, None for another."""
    value, readable = decoded(entry.body)
    if not (readable and isinstance(value, list) and len(value) == 2):
        return None
    args, kwargs = value
    return (args, kwargs) if isinstance(args, list) and isinstance(kwargs, dict) else None


def zone_of(schedule: Schedule | None) -> Zone | None:
    """Return the zone that a schedule is said in, None where that is UTC or means nothing."""
    from litequeue.schedules.zones import zone_named

    name = getattr(schedule, "zone", None)
    return None if name in (None, "UTC") else zone_named(name)
