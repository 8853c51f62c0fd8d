"""Whether code may wait for results where it runs.

A task that waits for a job of its own worker could wait for ever: all children wait, none works.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from litequeue.context import current_request, refuse_at_import

_denied: ContextVar[bool | None] = ContextVar("litequeue_join_denied", default=None)
"""None: inside a task only."""


def refuse_to_block(verb: str, *, disable_sync_subtasks: bool) -> None:
    """Raise RuntimeError where waiting is denied, `EnqueuedAtImport` while a worker imports."""
    refuse_at_import(verb)
    if not disable_sync_subtasks:
        return
    denied = _denied.get()
    if denied or (denied is None and current_request.get() is not None):
        raise RuntimeError(
            f"{verb} inside a task can wait for ever on its own worker; "
            "return the id, and let the caller wait"
        )


@contextlib.contextmanager
def allow_join_result() -> Iterator[None]:
    """Allow the block to wait for results, also inside a task."""
    mark = _denied.set(False)
    try:
        yield
    finally:
        _denied.reset(mark)


@contextlib.contextmanager
def denied_join_result() -> Iterator[None]:
    """Refuse to wait for results in the block, also outside a task."""
    mark = _denied.set(True)
    try:
        yield
    finally:
        _denied.reset(mark)
