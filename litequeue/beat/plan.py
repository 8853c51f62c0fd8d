"""What beat decides about one entry: which of its ticks are sent, and when it is due next.  Pure.

A tick is sent once, late or not, as the entry's policy says:

====  ==========================================================================================
skip  the newest tick, if it is at most ``grace`` seconds late (`ON_TIME` unless the entry says)
one   the newest tick, however late it is; at most ``grace`` where the entry says that
all   the newest ``catch_up`` ticks, the oldest first; none that is later than ``grace``
====  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from litequeue.due import due, first
from litequeue.entry import Entry, Firing
from litequeue.schedules import Tick

ON_TIME: Final = 60.0
"""Seconds that a tick may be late and is not missed, under "skip"."""
MOST_AT_ONCE: Final = 100
"""Ticks of one entry in one transaction."""


def plan(
    entry: Entry,
    *,
    id: int,
    version: int,
    anchor: float,
    pending: Tick,
    now: float,
    new_id: Callable[[], str],
) -> Firing:
    """Decide about an entry whose ``pending`` tick is due at ``now`` (epoch seconds).

    ``id``, ``version`` and ``anchor`` are those of its row; ``new_id`` makes the id of a job.
    """
    wanted = entry.catch_up if entry.misfire == "all" else 1
    missed, waiting = _due_ticks(entry, anchor, pending, now, wanted)
    grace = entry.grace
    if grace is None and entry.misfire == "skip":
        grace = ON_TIME
    sent = [tick for tick in missed if grace is None or now - due(entry, tick) <= grace]
    if len(sent) > MOST_AT_ONCE:
        following: Tick | None = sent[MOST_AT_ONCE]
        del sent[MOST_AT_ONCE:]
    else:
        following = waiting or first(entry, anchor, now)
    return Firing(
        entry=id,
        version=version,
        ticks=tuple((tick.key, tick.at, due(entry, tick), new_id()) for tick in sent),
        next_key=None if following is None else following.key,
        next_at=None if following is None else following.at,
        next_due=None if following is None else due(entry, following),
    )


def _due_ticks(
    entry: Entry, anchor: float, pending: Tick, now: float, wanted: int
) -> tuple[list[Tick], Tick | None]:
    """Return the newest ``wanted`` ticks that are due, and the first whose jitter has not passed.

    The look back is doubled until it holds enough: ticks that are not wanted are not counted,
    however many were missed.
    """
    window = max(1.0, entry.jitter)
    while True:
        since = now - window
        if since <= pending.at:
            ticks = [pending, *_between(entry, anchor, pending.at, now)]
        else:
            ticks = _between(entry, anchor, since, now)
        missed = [tick for tick in ticks if due(entry, tick) <= now]
        if len(missed) >= wanted or since <= pending.at:
            waiting = next((tick for tick in ticks if due(entry, tick) > now), None)
            return missed[-wanted:], waiting
        window *= 2


def _between(entry: Entry, anchor: float, after: float, until: float) -> list[Tick]:
    ticks = []
    tick = first(entry, anchor, after)
    while tick is not None and tick.at <= until:
        ticks.append(tick)
        tick = first(entry, anchor, tick.at)
    return ticks
