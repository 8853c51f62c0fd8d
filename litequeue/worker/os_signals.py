"""Signals of the operating system: handlers only write to a pipe, the loop acts."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class WakePipe:
    """Turns signals into bytes that a loop can wait for next to everything else."""

    def __init__(self, signals: Iterable[signal.Signals]) -> None:
        self.fd, self._write_fd = os.pipe()
        for fd in (self.fd, self._write_fd):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(self._write_fd, warn_on_full_buffer=False)
        for number in signals:
            signal.signal(number, _nothing)

    def read(self) -> list[int]:
        """Return the signals that came since the last call."""
        with contextlib.suppress(BlockingIOError):
            return list(os.read(self.fd, 512))
        return []

    def close(self) -> None:
        """Stop listening.  For a forked process, which must not write into its parent's pipe."""
        signal.set_wakeup_fd(-1)
        os.close(self.fd)
        os.close(self._write_fd)


def ignore_stop_signals() -> None:
    """Leave stopping to the supervisor: Ctrl-C and systemd reach all processes at once.

    With handlers that do nothing, not SIG_IGN: programs that a task starts would inherit that.
    """
    for number in (*STOP_SIGNALS, signal.SIGHUP):
        signal.signal(number, _nothing)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _nothing(number: int, frame: object) -> None:
    """Exist, so that the wake-up descriptor is written to."""
