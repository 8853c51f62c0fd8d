"""Soft time limits: an exception raised in user code from outside, and in nothing else.

Each line has a guard, which knows when user code runs on it.  The library's own critical sections
hold the guard, so that no transaction stays open and no lock stays taken; what comes meanwhile is
raised when the outermost section is left.  When to interrupt is decided elsewhere.
"""

from __future__ import annotations

from litequeue.interrupts.coroutines import drive
from litequeue.interrupts.guards import (
    Guard,
    SignalGuard,
    TaskGuard,
    ThreadGuard,
    critical,
    hold,
    is_guarded,
    relieve,
)

__all__ = [
    "Guard",
    "SignalGuard",
    "TaskGuard",
    "ThreadGuard",
    "critical",
    "drive",
    "hold",
    "is_guarded",
    "relieve",
]
