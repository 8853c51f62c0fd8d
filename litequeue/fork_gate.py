"""No SQLite connection crosses a fork, and none comes in the middle of a first use.

SQLite keeps its POSIX locks in a table per process.  A forked child inherits the table, believes
that it holds locks it does not, and loses acknowledged commits (sqlite.org/howtocorrupt.html,
2.6).  So before a fork every connection of the process is closed, once its transaction is over;
afterwards parent and child open their own when they next need one.

Nor does it inherit the threads that made something, or imported it, when they were copied: it would
wait for them for ever.  So a fork waits for what is made under `first_use`.
"""

from __future__ import annotations

import logging  # noqa: F401 - its hook takes a lock that a first use may want: ours has to be first
import os
import threading
import weakref
from contextlib import AbstractContextManager
from typing import Final, Protocol

FORK_PATIENCE: Final = 10.0
"""Seconds that a fork waits for the transactions of other threads to end."""


class Closable(Protocol):
    """What the gate needs of a handle on a file."""

    def close_for_fork(self, patience: float) -> bool:
        """Close once no transaction is open; False when that took more than ``patience``."""

    def resume_in_parent(self) -> None:
        """Allow transactions again after a fork."""

    def resume_in_child(self, clean: bool) -> None:
        """Start anew in a forked child; unless ``clean``, refuse to open the file."""


_handles: weakref.WeakSet[Closable] = weakref.WeakSet()
_lock = threading.RLock()  # held during a fork: a handle made meanwhile would cross it open
_forking = threading.local()  # of the thread that forks: others may fork right after it


def first_use() -> AbstractContextManager[object]:
    """Return the lock for what one thread makes for all, at its first use; no fork comes between.

    One for the whole process, so that nobody can wait for two of them crosswise.
    """
    return _lock


def guard(handle: Closable) -> None:
    """Have ``handle`` closed before every fork of this process."""
    with _lock:
        _handles.add(handle)


def _before() -> None:
    _lock.acquire()
    # What an exception keeps from being closed counts as not clean.
    _forking.closed = dict.fromkeys(_handles, False)
    for handle in _forking.closed:
        _forking.closed[handle] = handle.close_for_fork(FORK_PATIENCE)


def _parent() -> None:
    try:
        for handle, clean in _take_closed():
            if clean:
                handle.resume_in_parent()
    finally:
        _lock.release()


def _child() -> None:
    global _lock  # noqa: PLW0603 - the inherited one may be another thread's
    _lock = threading.RLock()
    for handle, clean in _take_closed():
        handle.resume_in_child(clean)


def _take_closed() -> list[tuple[Closable, bool]]:
    return list(_forking.__dict__.pop("closed", {}).items())


if hasattr(os, "register_at_fork"):  # what is registered last is called first before a fork
    os.register_at_fork(before=_before, after_in_parent=_parent, after_in_child=_child)
