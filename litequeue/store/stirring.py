"""Hear that somebody writes to the file, whoever it is (Linux's inotify).

This is the net under the bells: a plain INSERT by the sqlite3 shell rings nobody.  Watching the
WAL needs no descriptor on it, so SQLite's locks are safe.  An event comes with the write, a
moment before the commit can be seen: whoever hears it looks a few times.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

IN_MODIFY: Final = 0x2
IN_NONBLOCK: Final = os.O_NONBLOCK
IN_CLOEXEC: Final = getattr(os, "O_CLOEXEC", 0)


class Stirring:
    """Watches the WAL of ``path``; ``fd`` is readable after a write, or -1 without inotify."""

    def __init__(self, path: str) -> None:
        self.fd = -1
        if sys.platform != "linux":
            return
        libc = ctypes.CDLL(None, use_errno=True)
        fd = libc.inotify_init1(IN_NONBLOCK | IN_CLOEXEC)
        if fd < 0:
            return
        if libc.inotify_add_watch(fd, os.fsencode(path + "-wal"), IN_MODIFY) < 0:
            os.close(fd)
            return
        self.fd = fd

    def read(self) -> None:
        """Take note of the writes so far."""
        try:
            os.read(self.fd, 4096)
        except BlockingIOError:
            return

    def close(self) -> None:
        """Stop watching."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
