"""What is going on in this thread: the request that runs, the app that is being imported."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from litequeue.exceptions import EnqueuedAtImport

current_request: ContextVar[Any | None] = ContextVar("litequeue_current_request", default=None)
_importing: ContextVar[str | None] = ContextVar("litequeue_importing", default=None)


@contextlib.contextmanager
def importing(what: str) -> Iterator[None]:
    """Mark the block as a worker's import of the app ``what`` ("module:attribute")."""
    mark = _importing.set(what)
    try:
        yield
    finally:
        _importing.reset(mark)


def refuse_at_import(verb: str) -> None:
    """Raise `EnqueuedAtImport` when a worker is importing the app in this thread."""
    what = _importing.get()
    if what is None:
        return
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("litequeue."):
        frame = frame.f_back
    raise EnqueuedAtImport(
        f"{verb} was called while a worker imported {what}, at {frame.f_code.co_filename}:"
        f"{frame.f_lineno}; every worker would call it again. "
        'Move the line below `if __name__ == "__main__":`'
    )
