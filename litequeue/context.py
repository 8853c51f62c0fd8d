"""What is going on in this thread: the request that runs, the app that is being imported."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from litequeue.exceptions import EnqueuedAtImport, ImproperlyConfigured

_app: list[Any] = []
_app_here: ContextVar[Any | None] = ContextVar("litequeue_app", default=None)
current_request: ContextVar[Any | None] = ContextVar("litequeue_current_request", default=None)
_importing: ContextVar[str | None] = ContextVar("litequeue_importing", default=None)


@dataclass(slots=True)
class Planned:
    """A call that becomes a step of a workflow instead of a job: ``made`` is what was asked for.

    ``given`` counts the results that will come before its arguments, None where nobody knows.
    """

    task: Any
    given: int | None
    made: Any = None


planning: ContextVar[Planned | None] = ContextVar("litequeue_planning", default=None)


@dataclass(frozen=True, slots=True)
class Direct:
    """Stands for the request when a task is called as a plain function."""

    id: None = None
    task: None = None
    args: None = None
    kwargs: None = None
    retries: int = 0
    called_directly: bool = True
    is_eager: bool = False
    hostname: None = None
    root_id: None = None
    parent_id: None = None
    headers: None = None
    delivery_info: None = None


DIRECT: Final = Direct()


def set_current_app(app: object) -> None:
    """Make ``app`` the one that is meant where none is named: the last one made, as in Celery."""
    _app[:] = [app]


def current_app() -> Any:
    """Return the app whose job runs here, or else the last one made.

    Raises `ImproperlyConfigured` when there is none.
    """
    here = _app_here.get()
    if here is not None:
        return here
    if not _app:
        raise ImproperlyConfigured('there is no app yet; make one: LiteQueue("jobs.sqlite")')
    return _app[0]


@contextlib.contextmanager
def working_for(app: object) -> Iterator[None]:
    """Make ``app`` the current one in this block."""
    mark = _app_here.set(app)
    try:
        yield
    finally:
        _app_here.reset(mark)


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
