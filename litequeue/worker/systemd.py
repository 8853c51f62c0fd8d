"""What systemd is told of a service with Type=notify (sd_notify(3)); nothing where it is not asked.

The watchdog is fed by the supervisor's loop: it is the part that puts everything else right.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Final

from litequeue.clock import Clock

SOCKET_VARIABLE: Final = "NOTIFY_SOCKET"
INTERVAL_VARIABLE: Final = "WATCHDOG_USEC"


def notify(*lines: str, monotonic: float | None = None) -> None:
    """Send ``lines``, as "READY=1"; with ``monotonic`` seconds, which a reload has to name."""
    address = os.environ.get(SOCKET_VARIABLE, "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    if monotonic is not None:
        lines = (*lines, f"MONOTONIC_USEC={int(monotonic * 1e6)}")
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.setblocking(False)
        end.sendto("\n".join(lines).encode(), address)


class Watchdog:
    """Tells systemd that the worker is alive, twice as often as it asks for (WatchdogSec=)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        given = os.environ.get(INTERVAL_VARIABLE, "")
        self._every = int(given) / 2e6 if given.isascii() and given.isdigit() else 0.0
        self._due = clock.monotonic()

    def time_left(self) -> float | None:
        """Return the seconds until the next sign of life, None where nobody asks for it."""
        return max(0.0, self._due - self._clock.monotonic()) if self._every else None

    def feed(self) -> None:
        """Give a sign of life if it is due."""
        if self._every and self._clock.monotonic() >= self._due:
            self._due = self._clock.monotonic() + self._every
            notify("WATCHDOG=1")
