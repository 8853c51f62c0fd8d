"""The values of many results, in their order: of jobs from the file, of others from themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice, tee
from typing import TYPE_CHECKING, Any, Final

from litequeue.result.async_result import AsyncResult
from litequeue.result.eager_result import EagerResult
from litequeue.result.home import Home
from litequeue.result.waiting import Patience, ended, in_order

if TYPE_CHECKING:
    from litequeue.store import Record

MOST_TOGETHER: Final = 10_000
"""Members that are awaited or looked at together, of however many."""


def is_stored(member: Any) -> bool:
    """Tell whether a member of a set has a job in the file."""
    return isinstance(member, AsyncResult) and not isinstance(member, EagerResult)


def is_awaited(member: Any) -> bool:
    """Tell whether its job is to end first."""
    return is_stored(member) and not member.ignored


def values(
    home: Home,
    members: Iterator[Any],
    patience: Patience,
    *,
    propagate: bool,
    told: Callable[[str, Record], object] | None = None,
) -> Iterator[tuple[str, Any]]:
    """Yield (id, value) of each, once it has ended; ``told`` is called with what the file says."""
    members, ahead = tee(members)
    records = in_order(home, (each.id for each in ahead if is_awaited(each)), patience)
    for member in members:
        if is_awaited(member):
            _, record = next(records)
            if told is not None:
                told(member.id, record)
            yield member.id, member._conclude(record, propagate=propagate)
        elif isinstance(member, AsyncResult):
            yield member.id, member.get(propagate=propagate, disable_sync_subtasks=False)
        else:
            rest = patience.rest()
            yield member.id, member.join(rest, propagate, disable_sync_subtasks=False)


async def values_here(
    home: Home, members: Iterator[Any], deadline: float | None, *, propagate: bool
) -> list[Any]:
    """Return the values without blocking the running loop, in whose time ``deadline`` is."""
    import asyncio

    loop = asyncio.get_running_loop()

    def rest() -> float | None:
        return None if deadline is None else max(0.0, deadline - loop.time())

    found: list[Any] = []
    while some := list(islice(members, MOST_TOGETHER)):
        ids = [each.id for each in some if is_awaited(each)]
        records = await ended(home, ids, rest()) if ids else {}
        for member in some:
            if is_awaited(member):
                found.append(member._conclude(records[member.id], propagate=propagate))
            elif isinstance(member, AsyncResult):
                found.append(member.get(propagate=propagate, disable_sync_subtasks=False))
            else:
                found.append(await member.aget(rest(), propagate, disable_sync_subtasks=False))
    return found
