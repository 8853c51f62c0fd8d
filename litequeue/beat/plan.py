"""What beat decides about one entry: which of its ticks are sent, and when it is due next.  Pure.

A tick is sent once, late or not, as the entry's policy says:

====  ==========================================================================================
skip  the newest tick, if it is at most ``grace`` seconds late (`ON_TIME` unless the entry says)
one   the newest tick, however late it is; at most ``grace`` where the entry says that
all   the newest ``catch_up`` ticks, the oldest first; none that is later than ``grace``
====  ==========================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
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
    if pending.at < anchor <= now:
        # The clock was put back beyond the entry's beginning, and is right again: what it went by
        # was never due.
        begun = first(entry, anchor, anchor)
        if begun is None or due(entry, begun) > now:
            return _firing(entry, id, version, [], begun, new_id)
        pending = begun
    missed = _newest(entry, anchor, pending, now, wanted + 1)
    # A jitter ends before the next tick, so that of the last one alone may not have passed.
    waiting = missed.pop() if due(entry, missed[-1]) > now else None
    grace = entry.grace
    if grace is None and entry.misfire == "skip":
        grace = ON_TIME
    newest = missed[-wanted:]
    sent = [tick for tick in newest if grace is None or now - due(entry, tick) <= grace]
    if len(sent) > MOST_AT_ONCE:
        following: Tick | None = sent[MOST_AT_ONCE]
        del sent[MOST_AT_ONCE:]
    else:
        following = waiting or first(entry, anchor, now)
    return _firing(entry, id, version, sent, following, new_id)


def _firing(
    entry: Entry,
    id: int,
    version: int,
    sent: list[Tick],
    following: Tick | None,
    new_id: Callable[[], str],
) -> Firing:
    return Firing(
        entry=id,
        version=version,
        ticks=tuple((tick.key, tick.at, due(entry, tick), new_id()) for tick in sent),
        next_key=None if following is None else following.key,
        next_at=None if following is None else following.at,
        next_due=None if following is None else due(entry, following),
    )


def _newest(entry: Entry, anchor: float, pending: Tick, now: float, enough: int) -> list[Tick]:
    """Return the ticks until ``now``, from the pending one on or only the newest: then ``enough``.

    The look back is doubled until it holds enough, and halved again where it holds far too many:
    ticks that are not wanted are not counted, however many were missed.
    """
    too_many = 4 * enough
    short, long, window = 0.0, math.inf, 1.0
    while True:
        is_whole = now - window <= pending.at
        ticks = [pending] if is_whole else []
        following = _between(entry, anchor, max(now - window, pending.at), now)
        ticks += islice(following, too_many)
        if len(ticks) > too_many or (len(ticks) == too_many and not is_whole):
            long = window
        elif len(ticks) >= enough or is_whole:
            return ticks
        else:
            short = window
        window = 2 * window if long == math.inf else (short + long) / 2


def _between(entry: Entry, anchor: float, after: float, until: float) -> Iterator[Tick]:
    tick = first(entry, anchor, after)
    while tick is not None and tick.at <= until:
        yield tick
        tick = first(entry, anchor, tick.at)
