"""Starting a worker anew, in the same process: with the code as it is by now."""

from __future__ import annotations

import os
import signal
import sys

from litequeue.os_signals import HELD


def start_anew(directory: str) -> None:
    """Become the program that this process was started as, in ``directory``.  Does not return.

    The process stays the same for who started it; every job was settled or given back before.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os.chdir(directory)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - our own command


def hold_signals() -> None:
    """Have signals wait, through `start_anew`, until the new program calls `hear_again`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HELD)


def hear_again() -> None:
    """Let signals in: handlers are in place."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)


def terminals() -> list[int]:
    """Return which of the standard streams are a terminal that is still there.

    When it is closed, SIGHUP means that a worker is to end; any other asks it to start anew.
    """
    return [descriptor for descriptor in (0, 1, 2) if os.isatty(descriptor)]
