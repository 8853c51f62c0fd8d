"""No SQLite connection crosses a fork.

SQLite keeps its POSIX locks in a table per process.  A forked child inherits the table, believes
that it holds locks it does not, and loses acknowledged commits (sqlite.org/howtocorrupt.html,
2.6).  So before a fork every connection of the process is closed, once its transaction is over;
afterwards parent and child open their own when they next need one.
"""

from __future__ import annotations

import os
import threading
import weakref
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
_installed = False


def guard(handle: Closable) -> None:
    """Have ``handle`` closed before every fork of this process."""
    global _installed  # noqa: PLW0603 - hooks of a process cannot be taken back, nor be set twice
    with _lock:
        if not _installed and hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before, after_in_parent=_parent, after_in_child=_child)
            _installed = True
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
