"""What became of a job in Celery's form, a dict: for ``on_message`` and `iter_native`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from litequeue import states
from litequeue.result.failures import value_of
from litequeue.result.home import Home

if TYPE_CHECKING:
    from litequeue.result.handle import Handle
    from litequeue.store import Record

Message = dict[str, Any]
"""``task_id``, ``status``, ``result``, ``traceback``, and ``children``, which are handles."""
MakeHandle = Callable[[str], "Handle"]


def message(
    home: Home, id: str, record: Record, *, children: Sequence[str], handle: MakeHandle
) -> Message:
    """Return what the file says about a job."""
    return {
        "task_id": id,
        "status": record.state,
        "result": value_of(record, id, home.codec),
        "traceback": None if record.failure is None else record.failure.traceback,
        "children": [handle(child) for child in children],
    }


def on_changes(
    home: Home, id: str, tell: Callable[[Message], object], handle: MakeHandle
) -> Callable[[Record], None]:
    """Return what calls ``tell`` for each change of state among the records it is given."""
    seen: tuple[str, str | None] = (states.PENDING, None)

    def look(record: Record) -> None:
        nonlocal seen
        now = record.state, record.result
        if now != seen:
            seen = now
            children = home.store.children_of(id)
            tell(message(home, id, record, children=children, handle=handle))

    return look
