"""Waiting for the write lock, fairly, and never in C.

SQLite's busy_timeout starves: of six processes that wrote without a pause, one committed 100,651
times and one once.  It also holds up Python's signal handlers.  So waiters retry with jitter, and
one that has starved for a moment shuts a gate on those who just came (figures: `locks.Gate`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from litequeue.clock import Clock
from litequeue.locks import Gate
from litequeue.store.driver import sqlite3
from litequeue.store.errors import is_busy

STARVING: Final = 0.03
"""Seconds of waiting after which a writer shuts the gate on the others."""
GATE_PATIENCE: Final = 0.5
"""Seconds that a shut gate is respected: its holder may have been stopped."""
QUICK_TRIES: Final = 5
_uniform = random.uniform  # of the generator that Python seeds anew in forked children


def try_begin(connection: sqlite3.Connection, gate: Gate | None) -> bool:
    """Begin a write transaction unless somebody is in one, or has shut the gate."""
    if gate is not None and not gate.is_open():
        return False
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return False
        raise
    return True


def wait_for_begin(
    connection: sqlite3.Connection,
    gate: Gate | None,
    *,
    deadline: float,
    clock: Clock,
    while_waiting: Callable[[], None],
) -> bool:
    """Begin a write transaction before ``deadline`` (monotonic seconds); False when it passed."""
    started = clock.monotonic()
    shut, tries = False, 0
    try:
        while clock.monotonic() <= deadline:
            clock.sleep(pause(quick=shut or tries < QUICK_TRIES))
            tries += 1
            waited = clock.monotonic() - started
            respected = None if shut or waited > GATE_PATIENCE else gate
            if try_begin(connection, respected):
                return True
            if gate is not None and not shut and waited > STARVING:
                shut = gate.shut()
            while_waiting()
        return False
    finally:
        if shut and gate is not None:
            gate.open()


def pause(*, quick: bool) -> float:
    """Return how many seconds to sleep between two tries: a commit mostly takes 0.2 ms."""
    return _uniform(0.00005, 0.0002) if quick else _uniform(0.0005, 0.002)
